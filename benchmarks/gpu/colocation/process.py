# SPDX-License-Identifier: Apache-2.0
"""Handles of the two programs, as the runner sees them."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu import machine

from .page import PAUSE, QUIT, Page
from .progress import Profile, Sampler, Trace
from .stats import Window

PATIENCE = 90.0  # for a program to start, or to come to rest


class Program:
    """A module of this package that talks JSON lines; `arguments` follow its name."""

    def __init__(self, module: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        device = ["--device", "cpu", "--smoke"] if machine.smoke() else []
        paths = os.pathsep.join([str(machine.ROOT), os.environ.get("PYTHONPATH", "")])
        self.name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.gpu.{module}", *arguments, *device],
            env={**os.environ, "PYTHONPATH": paths, **env}, cwd=machine.ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def hear(self, patience: float = PATIENCE) -> Any:
        """The next line of the program; raises when it has ended or says nothing."""
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            self._process.kill()
            raise RuntimeError(f"{self.name} said nothing for {patience:.0f} s") from None
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait(PATIENCE)}")
        return json.loads(line)

    def tell(self, words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def ask(self, words: object, patience: float = PATIENCE) -> Any:
        self.tell(words)
        return self.hear(patience)

    def end(self) -> None:
        """Killed when it does not end by itself."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)


class Services(Program):
    def __init__(self, names: Sequence[str], env: Mapping[str, str]) -> None:
        super().__init__("colocation.lc", [",".join(names)], env)
        self.checksums: dict[str, int] = {}

    def ready(self) -> None:
        self.checksums = self.hear()["ready"]

    def pace(self, service: str, requests: int) -> float:
        """Seconds of one request when they come back to back."""
        found = self.ask({"do": "pace", "service": service, "requests": requests})
        return float(found["service_s"])

    def window(self, service: str, rate: float, seconds: float, seed: int) -> Window:
        wish = {"do": "window", "service": service, "rate": rate, "seconds": seconds, "seed": seed}
        return Window.of(self.ask({**wish, "patience": seconds / 4}, 2 * seconds + 20))


class Jobs(Program):
    """A best-effort program with several jobs, of which at most one runs."""

    def __init__(self, names: Sequence[str], env: Mapping[str, str]) -> None:
        self._names, self._per_step = list(names), [0] * len(names)
        self._folder = tempfile.TemporaryDirectory(prefix="gs-page-", dir="/dev/shm")
        path = Path(self._folder.name) / "page"
        self.page = Page(path)
        super().__init__("colocation.be", [",".join(names), str(path)], env)

    def ready(self) -> None:
        self._per_step = self.hear()["ready"]

    def start(self, job: str) -> None:
        self._wish(self._names.index(job) + 1)

    def pause(self) -> None:
        """Returns when its work on the GPU has ended."""
        self._wish(PAUSE)

    def _wish(self, number: int) -> None:
        self.page.wish = number
        end = time.monotonic() + PATIENCE
        while self.page.state != number:
            if not self.running or time.monotonic() > end:
                raise RuntimeError(f"the job did not come to state {number}")
            time.sleep(0.001)

    def watch(self) -> Sampler:
        sampler = Sampler(self.page)
        sampler.start()
        return sampler

    def trace(self, seconds: float) -> Trace:
        sampler = self.watch()
        time.sleep(seconds)
        return sampler.end()

    def profile(self, job: str, trace: Trace) -> Profile:
        return Profile.of(trace, self._per_step[self._names.index(job)])

    def end(self) -> None:
        self.page.wish = QUIT
        super().end()
        self._folder.cleanup()
