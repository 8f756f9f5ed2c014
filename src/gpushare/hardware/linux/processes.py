# SPDX-License-Identifier: Apache-2.0
"""Processes, identified by pid and start time."""

import fcntl
import os
import struct
import time
from pathlib import Path

from gpushare.model.share import ProcessRef
from gpushare.model.value import Value

STORED = 0xFFFFFFFF  # regions keep the low half of a namespace's inode number
# struct pidfd_info and PIDFD_GET_INFO; its last field is the status of an ended process.
_INFO, _INFO_FIELDS = struct.Struct("QQ11Ii"), 13
_EXIT = 1 << 3  # PIDFD_INFO_EXIT
_GET_INFO = 0xC0000000 | _INFO.size << 16 | 0xFF << 8 | 11
_SYS_PTRACE = 19  # linux/capability.h
_PIECE = 1 << 14
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

    def status(self, process: ProcessRef, descriptor: int) -> int | None:
        # Its parent may wait for it between two of these looks; then the pidfd has the status.
        for look in (reaped_status, self._zombie_status, reaped_status):
            if (status := look(descriptor, process)) is not None:
                return status
        return None

    def _zombie_status(self, _: int, process: ProcessRef) -> int | None:
        """Field 52, which only the same user and root may read (proc_pid_stat(5)); else 0."""
        try:
            text = read(self._proc, process.pid, "stat")
            stat, field = parse_stat(text), text.split()[-1]
            ended = stat.ref == process and stat.state in DEAD
            return int(field) if ended and self._readable(process.pid) else None
        except (OSError, ValueError):
            return None

    def _readable(self, pid: int) -> bool:
        """Whether the Linux kernel tells this process more than everyone may know."""
        owner = os.stat(f"{self._proc}/{pid}").st_uid  # noqa: PTH116
        return owner == os.geteuid() or _may_trace()

    def _stat(self, pid: int) -> Stat | None:
        try:
            return parse_stat(read(self._proc, pid, "stat"))
        except (OSError, ValueError):
            return None


def _may_trace() -> bool:
    """Whether this process has CAP_SYS_PTRACE."""
    status = Path("/proc/self/status").read_text()
    held = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(held, 16) >> _SYS_PTRACE & 1)


def reaped_status(descriptor: int, _: ProcessRef) -> int | None:
    """From the pidfd of a process that its parent has waited for (Linux 6.15; linux/pidfd.h)."""
    info = bytearray(_INFO.pack(_EXIT, *[0] * _INFO_FIELDS))
    try:
        fcntl.ioctl(descriptor, _GET_INFO, info)
    except OSError:
        return None
    fields = _INFO.unpack(info)
    return fields[-1] if fields[0] & _EXIT else None


def read(proc: Path, pid: int | str, name: str) -> bytes:
    """A file of a process; raises OSError."""
    return read_whole(f"{proc}/{pid}/{name}")


def read_stat(proc: Path, pid: str) -> bytes:
    """Of a process; raises OSError. In one read, because the Linux kernel makes it in one piece."""
    descriptor = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _PIECE)
    finally:
        os.close(descriptor)


def read_whole(path: str) -> bytes:
    """A file of the kernel; raises OSError. Every look reads hundreds, so nothing but the read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        # Until there is nothing: the kernel may return less than there is, at the end of a page.
        while piece := os.read(descriptor, _PIECE):
            text += piece
        return text
    finally:
        os.close(descriptor)


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
