#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three programs share one GPU under different limits; one tries to exceed its own.

On a machine without an NVIDIA GPU the same runs on a simulated one. The daemon, its state and its
socket are private to this run, so another gpushare is not disturbed. Exit code 0: everything held.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TRAIN = HERE / "train.py"
GPUSHARE = Path(sys.executable).with_name("gpushare")
PROFILE = "h200-1"
GIB = 1 << 30
PATIENCE = 60  # seconds for one step before the demo gives up


class DemoError(Exception):
    """Something that should have held did not."""


@dataclass
class Program:
    """One program and the share it runs in; `wants` is its --memory."""

    name: str
    memory: int  # GiB
    compute: int  # percent
    wants: str
    output: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    def said(self, words: str) -> str | None:
        """The first line of its output that has these words."""
        lines = self.output.read_text().splitlines()
        return next((line for line in lines if words in line), None)


@dataclass
class Demo:
    folder: Path
    programs: list[Program] = field(default_factory=list)
    daemon: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "GPUSHARE_SOCKET": str(self.folder / "gpushare.sock"),
            "GPUSHARE_STATE_DIR": str(self.folder / "state"),
            "GPUSHARE_RUNTIME_DIR": str(self.folder / "run"),
        }

    def gpushare(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [GPUSHARE, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def show(self, *arguments: str) -> None:
        """Run a command as a person would see it; it must succeed."""
        print(f"\n$ gpushare {' '.join(arguments)}", flush=True)
        done = self.gpushare(*arguments)
        print((done.stdout + done.stderr).rstrip(), flush=True)
        if done.returncode:
            raise DemoError(f"gpushare {arguments[0]} ended with exit code {done.returncode}")

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.gpushare(*arguments, "-o", "json")
        if done.returncode:
            raise DemoError(done.stderr.strip())
        return list(json.loads(done.stdout)["items"])

    def start_daemon(self) -> None:
        print("$ gpushare daemon &", flush=True)
        log = self.folder / "daemon.log"
        with log.open("wb") as output:
            self.daemon = subprocess.Popen(
                [GPUSHARE, "daemon"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo, which ends it last
            )
        daemon = self.daemon

        def answers() -> bool:
            if daemon.poll() is not None:
                raise DemoError(f"the daemon did not start:\n{log.read_text()}")
            return self.gpushare("ps").returncode == 0

        wait_for(answers, "the daemon to answer")

    def start(self, program: Program) -> None:
        limits = ["--name", program.name, "-m", f"{program.memory}GiB", "-c", str(program.compute)]
        command = [TRAIN.name, "--memory", program.wants, "--steps", "0"]
        print(f"$ gpushare run {' '.join(limits)} -- python {' '.join(command)} &", flush=True)
        program.output = self.folder / f"{program.name}.out"
        with program.output.open("wb") as output:
            program.process = subprocess.Popen(
                [GPUSHARE, "run", *limits, "--", sys.executable, *command],
                cwd=HERE,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.programs.append(program)

    def settled(self, program: Program) -> bool:
        """Whether it has all the memory it will get."""
        if program.process is None or program.process.poll() is not None:
            raise DemoError(f"{program.name} ended early:\n{program.output.read_text()}")
        return bool(program.said("allocated") or program.said("refused after"))

    def finish(self) -> None:
        """Let the programs end by themselves; their exit codes count."""
        for program in self.programs:
            if program.process is None or program.process.stdin is None:
                continue
            program.process.stdin.close()
            code = program.process.wait(PATIENCE)
            print(f"[{program.name}] ended with exit code {code}", flush=True)
            if code:
                raise DemoError(f"{program.name} failed:\n{program.output.read_text()}")

    def clean(self) -> None:
        """End whatever still runs, programs before the daemon."""
        processes = [p.process for p in self.programs if p.process] + [self.daemon]
        for process in filter(None, processes):
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"timed out after {PATIENCE} s waiting for {what}")
        time.sleep(0.05)


@contextmanager
def demonstration() -> Iterator[Demo]:
    # The path of a socket has 108 bytes at most (unix(7)), and MPS makes its own below ours.
    base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 20 else "/tmp"
    demo = Demo(Path(tempfile.mkdtemp(prefix="gs-demo-", dir=base)))
    try:
        yield demo
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        demo.clean()


def check(what: str, held: bool) -> None:
    print(f"  {'held  ' if held else 'BROKEN'}  {what}", flush=True)
    if not held:
        raise DemoError(what)


def programs_for(total: int) -> list[Program]:
    """Three shares that fit the GPU: 8, 16 and 4 GiB, or a quarter of that below 40 GiB."""
    part = 4 if total < 40 * GIB else 1
    return [
        Program("notebook", 8 // part, 25, f"{6 // part}GiB"),
        Program("train", 16 // part, 50, f"{12 // part}GiB"),
        Program("greedy", 4 // part, 25, "all"),
    ]


def used(share: dict[str, Any]) -> int:
    return int(share["memory"]["used"] or 0)


def check_limits(demo: Demo) -> None:
    shares = {share["name"]: share for share in demo.items("ps")}
    print("\nWhat held:")
    for program in demo.programs:
        limit = program.memory * GIB
        share = shares[program.name]
        check(
            f"{program.name} sees {program.memory} GiB, not the whole GPU",
            bool(program.said(f"sees {program.memory}.00 GiB")),
        )
        check(
            f"{program.name} uses {used(share) / GIB:.2f} of {program.memory} GiB",
            0 < used(share) <= limit,
        )
        check(f"{program.name} is verified", bool(share["verified"] and share["verified"]["ok"]))
    refused = demo.programs[-1].said("refused after")
    check(f"greedy asked for more than its share and was {refused}", bool(refused))


def run(demo: Demo) -> None:
    demo.start_daemon()
    demo.show("gpus")
    [gpu, *_] = demo.items("gpus")
    print()
    for program in programs_for(gpu["memory"]["total"]):
        demo.start(program)
    for program in demo.programs:
        wait_for(lambda program=program: demo.settled(program), f"{program.name} to allocate")
    for program in demo.programs:
        for line in program.output.read_text().splitlines():
            print(f"[{program.name}] {line}")
    wait_for(lambda: all(used(share) for share in demo.items("ps")), "the memory to be counted")
    demo.show("ps")
    for program in demo.programs:
        demo.show("verify", program.name)
    check_limits(demo)
    print()
    demo.finish()
    wait_for(lambda: not demo.items("ps"), "the shares to be released")
    check("every share is released", True)


def has_gpu() -> bool:
    """Whether the CUDA driver finds a GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 < count.value


def stop(number: int, _frame: object) -> None:
    """Once: `simulate` passes on what the whole group got too, and would cut the cleaning short."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    if "GPUSHARE_SIM_MACHINE" in os.environ:
        print(f"No NVIDIA GPU here: everything below runs on the simulated machine {PROFILE}.\n")
    elif has_gpu():
        print("Everything below runs on this machine's NVIDIA GPU.\n")
    else:
        command = [GPUSHARE, "simulate", PROFILE, "--", sys.executable, __file__]
        os.execv(GPUSHARE, [os.fspath(part) for part in command])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with demonstration() as demo:
            run(demo)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    print("\nEverything held; nothing is left behind.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
