# SPDX-License-Identifier: Apache-2.0
"""Programs of a share in pid namespaces of their own, as containers have: they are charged, seen
and forgotten as others are, in every namespace."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon, until

PROGRAM = Path(__file__).parents[1] / "support" / "cuda_program.py"
# A user namespace lets every user make the others.
UNSHARE = (
    ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
    ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"),
)
BWRAP = ("bwrap", "--unshare-pid", "--die-with-parent", "--dev-bind", "/", "/", "--proc", "/proc")


def _works(inside: tuple[str, ...]) -> bool:
    if shutil.which(inside[0]) is None:
        return False
    return subprocess.run([*inside, "true"], check=False, capture_output=True).returncode == 0


def _ways() -> list[Any]:
    skip = pytest.mark.skip("this machine or user cannot start it")
    ways = [(*UNSHARE, BWRAP)[index] for index in range(3)]
    names = ("pid", "user-and-pid", "bwrap")
    return [
        pytest.param(way, id=name, marks=() if _works(way) else skip)
        for way, name in zip(ways, names, strict=True)
    ]


class Program:
    """`cuda_program.py` in share `box`, in a pid namespace."""

    def __init__(self, daemon: Daemon, inside: tuple[str, ...] = ()) -> None:
        words = ("exec", "box", "--", *inside, sys.executable, PROGRAM)
        self.process = daemon.spawn(*words, stdin=subprocess.PIPE)
        self.started = self.answer()

    def answer(self) -> dict[str, int]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        return dict(json.loads(line))

    def take(self, mib: int) -> int:
        """The CUresult of taking so much."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"take {mib}\n")
        self.process.stdin.flush()
        return self.answer()["result"]

    def end(self) -> None:
        """As a program ends that has nothing more to do."""
        self.process.communicate(timeout=60)


@contextmanager
def running(daemon: Daemon, inside: tuple[str, ...] = ()) -> Iterator[Program]:
    program = Program(daemon, inside)
    try:
        assert program.started == {"result": 0}
        yield program
    finally:
        program.process.kill()
        program.process.communicate()


def used(daemon: Daemon) -> int:
    (share,) = daemon.shares()
    return int(share["memory"]["used"])


def pid_of_the_program(daemon: Daemon) -> int | None:
    (share,) = daemon.shares()
    return next((pid for pid in share["pids"] if _runs_the_program(pid)), None)


@pytest.fixture
def shared(daemon: Daemon) -> Daemon:
    assert daemon.gpushare("create", "-m", "2GiB", "--name", "box").returncode == 0
    return daemon


@pytest.mark.parametrize("inside", _ways())
def test_what_a_program_in_a_namespace_had_is_free_after_its_end(
    shared: Daemon, inside: tuple[str, ...]
) -> None:
    with running(shared, inside) as first:
        assert first.take(1024) == 0
        until(lambda: used(shared) > 1024 << 20, "the memory to be shown")
        first.end()
    with running(shared) as outside:
        assert outside.take(1024) == 0
        outside.end()
    with running(shared, inside) as second:
        assert second.take(1024) == 0, "what the one outside had is free in here too"
        second.end()
    until(lambda: not used(shared), "the share to be empty")


@pytest.mark.parametrize("inside", _ways())
def test_a_program_in_a_namespace_is_named_by_its_pid_here(
    shared: Daemon, inside: tuple[str, ...]
) -> None:
    with running(shared, inside) as program:
        assert program.take(256) == 0
        pid = until(lambda: pid_of_the_program(shared), "ps to name the program")
        assert _pid_inside(pid) < 10
        os.kill(pid, signal.SIGKILL)
        until(lambda: not used(shared), "the killed program to be forgotten")


def _runs_the_program(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[:2] == [sys.executable.encode(), str(PROGRAM).encode()]


def _pid_inside(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("NSpid:")).split()[-1])


def test_two_namespaces_of_one_share_see_each_other_end(shared: Daemon) -> None:
    inside = next((way for way in UNSHARE if _works(way)), None)
    if inside is None:
        pytest.skip("this user may not make a pid namespace")
    with ExitStack() as stack:
        one = stack.enter_context(running(shared, inside))
        other = stack.enter_context(running(shared, inside))
        assert one.take(768) == 0
        assert other.take(1024) != 0, "both together have the limit of the share"
        one.end()
        assert other.take(1024) == 0
        other.end()


def test_mps_serves_clients_in_namespaces(daemon: Daemon) -> None:
    """As on a real driver, where the programs of pods are MPS clients."""
    inside = next((way for way in UNSHARE if _works(way)), None)
    if inside is None:
        pytest.skip("this user may not make a pid namespace")
    limits = ("-m", "2GiB", "-c", "20")
    assert daemon.gpushare("create", *limits, "--name", "box").returncode == 0
    with running(daemon) as outside:
        for _ in range(2):
            with running(daemon, inside) as program:
                assert program.take(64) == 0
                pid = until(lambda: pid_of_the_program(daemon), "ps to name the program")
                (gpu,) = daemon.json("gpus")["items"]
                assert pid in {each["pid"] for each in gpu["processes"]}
                program.end()
        assert outside.take(64) == 0
        outside.end()
    until(lambda: not daemon.json("gpus")["items"][0]["trouble"], "MPS to be well")


def test_a_share_is_suspended_without_its_dead_programs(shared: Daemon) -> None:
    inside = next((way for way in UNSHARE if _works(way)), None)
    if inside is None:
        pytest.skip("this user may not make a pid namespace")
    with running(shared, inside) as program:
        assert program.take(256) == 0
        program.process.kill()
        program.process.communicate()
    with running(shared, inside) as program:
        assert program.take(256) == 0
        done = shared.gpushare("suspend", "box")
        assert done.returncode == 0, done.stderr
        assert shared.gpushare("resume", "box").returncode == 0
        program.end()
