# SPDX-License-Identifier: Apache-2.0
"""Processes, identified by pid and start time."""

import os
import time
from pathlib import Path

from gpushare.model.share import ProcessRef
from gpushare.model.value import Value

STORED = 0xFFFFFFFF  # regions keep the low half of a namespace's inode number
DEAD = frozenset("ZXx")  # a zombie holds no GPU memory any more


class Stat(Value):
    """`session`: the pid of its session's leader."""

    ref: ProcessRef
    state: str
    parent: int
    session: int


class ProcProcesses:
    """Implements the Processes port over `root`/proc."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"

    def find(self, pid: int) -> ProcessRef | None:
        stat = self._stat(pid)
        return stat.ref if stat and stat.state not in DEAD else None

    def alive(self, process: ProcessRef) -> bool:
        return self.find(process.pid) == process

    def uid(self, process: ProcessRef) -> int | None:
        try:
            status = read(self._proc, process.pid, "status")
        except OSError:
            return None
        real = next(line.split()[1] for line in status.splitlines() if line.startswith(b"Uid:"))
        # After the read: the pid may have been given to another process in between.
        return int(real) if self.alive(process) else None

    def inside(self, namespace: int, process: ProcessRef) -> ProcessRef | None:
        """By its start, which is the same in all pid namespaces, then by its pid in the other."""
        for name in os.listdir(self._proc):  # noqa: PTH208 (hundreds of names)
            here = self.find(int(name)) if name.isdecimal() else None
            if here is None or here.started != process.started:
                continue
            if self._pid_inside(here) == process.pid and self._in(here, namespace):
                return here
        return None

    def _pid_inside(self, process: ProcessRef) -> int | None:
        """Its pid in the innermost namespace (proc_pid_status(5))."""
        try:
            status = read(self._proc, process.pid, "status")
        except OSError:
            return None
        pids = [line.split() for line in status.splitlines() if line.startswith(b"NSpid:")]
        return int(pids[0][-1]) if pids else None

    def _in(self, process: ProcessRef, namespace: int) -> bool:
        """True where only the kernel may look, which the pid and the start must then decide."""
        try:
            inode = os.stat(f"{self._proc}/{process.pid}/ns/pid").st_ino  # noqa: PTH116
        except OSError:
            return True
        return inode & STORED == namespace

    def ticks(self) -> int:
        # The clock of a process's start (proc_pid_stat(5)).
        return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))

    def ancestors(self, pid: int) -> tuple[ProcessRef, ...]:
        line: list[ProcessRef] = []
        while (stat := self._stat(pid)) is not None and stat.ref not in line:
            line.append(stat.ref)
            pid = stat.parent
        return tuple(line)

    def first_of_namespace(self, process: ProcessRef) -> bool:
        return self._pid_inside(process) == 1

    def open(self, process: ProcessRef) -> int | None:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return None
        # Only now the pid cannot be given to another process unnoticed.
        if self.alive(process):
            return descriptor
        os.close(descriptor)
        return None

    def _stat(self, pid: int) -> Stat | None:
        try:
            return parse_stat(read(self._proc, pid, "stat"))
        except (OSError, ValueError):
            return None


def read(proc: Path, pid: int | str, name: str) -> bytes:
    """A file of a process; raises OSError. Every look reads hundreds, so nothing but the read."""
    with open(f"{proc}/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 (twice as fast)
        return file.read()


def parse_stat(text: bytes) -> Stat:
    """Read /proc/PID/stat (proc_pid_stat(5)); raises ValueError.

    The name in parentheses may itself hold spaces, parentheses and line ends.
    """
    pid, _, rest = text.partition(b" (")
    fields = rest.rpartition(b")")[2].split()
    if len(fields) < 20:
        raise ValueError("a stat line with too few fields")
    ref = ProcessRef(pid=int(pid), started=int(fields[19]))
    return Stat(ref=ref, state=fields[0].decode(), parent=int(fields[1]), session=int(fields[3]))
