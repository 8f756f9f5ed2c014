# SPDX-License-Identifier: Apache-2.0
"""Which processes use the GPUs, with names and users, and every MPS daemon of the machine."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.share import ProcessRef
from gpushare.model.value import Value

from .namespaces import in_initial_namespace
from .processes import DEAD, parse_stat, read

_MPS = "nvidia-cuda-mps"  # what the kernel keeps of the names of control daemon and server
_SERVER = b"nvidia-cuda-mps-server"
_PIPE = "CUDA_MPS_PIPE_DIRECTORY"


class Resident(Value):
    """`name`: its name in the kernel. `defunct`: it has ended, but its parent has not reaped it."""

    process: ProcessRef
    parent: int
    uid: int
    name: str
    defunct: bool = False
    since: datetime | None = None


class MpsResident(Value):
    """`pipe`: the directory it was started on; None: we may not know."""

    resident: Resident
    server: bool
    pipe: Path | None = None


class Residents:
    """Looks into `root`/proc."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"

    def find(self, pid: int) -> Resident | None:
        """Also a defunct one; None: there is no such process."""
        try:
            text = read(self._proc, pid, "stat")
            uid = next(_uids(read(self._proc, pid, "status")))
            stat = parse_stat(text)
        except (OSError, ValueError, StopIteration):
            return None
        return Resident(
            process=stat.ref,
            parent=stat.parent,
            uid=uid,
            name=text.partition(b"(")[2].rpartition(b")")[0].decode(errors="replace"),
            defunct=stat.state in DEAD,
            since=self._began(stat.ref.started),
        )

    def on(self, gpu: Gpu) -> list[tuple[GpuProcess, Resident | None]]:
        """Processes with a context there, except MPS; None: NVML lists one that has ended.

        In a pid namespace of our own the driver's pids mean other processes.
        """
        if not gpu.simulated and not in_initial_namespace(self._proc):
            return []
        pairs = ((process, self.find(process.pid)) for process in gpu.processes)
        return [
            (process, resident)
            for process, resident in pairs
            if not (resident and resident.name == _MPS)
        ]

    def variable(self, pid: int, name: str) -> str:
        """What the process had in its environment when it was started; empty: not known."""
        prefix = os.fsencode(f"{name}=")
        with suppress(OSError):
            words = read(self._proc, pid, "environ").split(b"\0")
            values = (word.removeprefix(prefix) for word in words if word.startswith(prefix))
            return os.fsdecode(next(values, b""))
        return ""

    def mps(self) -> list[MpsResident]:
        """Control daemons and servers, whosever they are."""
        pids = (int(name) for name in os.listdir(self._proc) if name.isdecimal())  # noqa: PTH208
        residents = (resident for pid in pids if (resident := self.find(pid)))
        return [
            self._mps(resident)
            for resident in residents
            if resident.name == _MPS and not resident.defunct
        ]

    def _mps(self, resident: Resident) -> MpsResident:
        program, pipe = b"", self.variable(resident.process.pid, _PIPE)
        with suppress(OSError):
            program = read(self._proc, resident.process.pid, "cmdline").split(b"\0")[0]
        server = program.endswith(_SERVER)
        return MpsResident(resident=resident, server=server, pipe=Path(pipe) if pipe else None)

    def _began(self, ticks: int) -> datetime | None:
        with suppress(OSError, StopIteration):
            lines = (self._proc / "stat").read_text().splitlines()
            boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
            return datetime.fromtimestamp(boot + ticks / os.sysconf("SC_CLK_TCK"), UTC)
        return None


def _uids(status: bytes) -> Iterator[int]:
    """The real uid, from /proc/PID/status (proc_pid_status(5))."""
    return (int(line.split()[1]) for line in status.splitlines() if line.startswith(b"Uid:"))
