# SPDX-License-Identifier: Apache-2.0
"""MPS control daemons of ours: one per GPU, each with its own pipe and log directory.

One daemon per GPU, because a fault reaches every client of a server and, until all of them have
left, new clients of its healthy GPUs too (NVIDIA MPS docs, error containment).
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from gpushare.model.errors import MpsError, MpsStuckError
from gpushare.model.ids import GpuId
from gpushare.model.share import ProcessRef

from .mps_control import DOCTOR, MpsShell
from .mps_dialect import dialect
from .ports import MpsPlace, Processes

BINARY = "nvidia-cuda-mps-control"
_COMM = BINARY[:15].encode()  # what the kernel keeps of a program's name
# A guard inside the daemon would charge the share that happens to start it.
_NOT_INHERITED = ("LD_PRELOAD", "GPUSHARE_REGION", "GPUSHARE_SHARE", "CUDA_VISIBLE_DEVICES")
_SOCKET_PATH_MAX = 107


class MpsDaemons:
    """Implements the Mps port below `folder`.

    <folder>/<GPU>/{pipe,log}: the daemon's; /daemon: its pid and start time; /holders/: one empty
    file per holder. `patience`: seconds to wait for an answer, a start or an end.
    """

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        env: Mapping[str, str] | None = None,
        *,
        root: Path = Path("/"),
        protocol: int = 2,
        patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._processes, self._root = folder, processes, root
        self._env = dict(os.environ if env is None else env)
        self._protocol, self._patience, self._clock = protocol, patience, clock
        self._children: set[int] = set()

    def binary(self) -> str | None:
        """The control tool on PATH."""
        return shutil.which(BINARY, path=self._env.get("PATH"))

    def acquire(self, gpu: GpuId, holder: str) -> MpsPlace:
        place = self._place(gpu)
        holders = self._home(gpu) / "holders"
        holders.mkdir(parents=True, exist_ok=True)
        (holders / holder).touch()
        if self._daemon(gpu) is None:
            self._start(place)
        return place

    def release(self, gpu: GpuId, holder: str | None) -> None:
        home = self._home(gpu)
        if holder is not None:
            (home / "holders" / holder).unlink(missing_ok=True)
        if home.is_dir() and not any((home / "holders").glob("*")):
            self._stop(gpu)
            shutil.rmtree(home, ignore_errors=True)

    def holders(self) -> dict[GpuId, tuple[str, ...]]:
        if not self._folder.is_dir():
            return {}
        return {
            GpuId(home.name): tuple(sorted(one.name for one in (home / "holders").glob("*")))
            for home in sorted(self._folder.iterdir())
        }

    def control(self, gpu: GpuId) -> MpsShell:
        place = self._place(gpu)
        if self._daemon(gpu) is None:
            raise MpsError(
                f"no MPS control daemon runs for {gpu}", "it ended or was killed", DOCTOR
            )
        speech = dialect(self._protocol)
        return MpsShell(self._tool(), self._environment(place), speech, place.log, self._patience)

    def restart(self, gpu: GpuId) -> None:
        self._stop(gpu)
        self._start(self._place(gpu))

    def _home(self, gpu: GpuId) -> Path:
        return self._folder / gpu

    def _place(self, gpu: GpuId) -> MpsPlace:
        home = self._home(gpu)
        return MpsPlace(gpu=gpu, pipe=home / "pipe", log=home / "log")

    def _tool(self) -> str:
        if found := self.binary():
            return found
        raise MpsError("MPS is not installed", f"{BINARY} is not on PATH", DOCTOR)

    def _environment(self, place: MpsPlace) -> dict[str, str]:
        """What the daemon and the tool that talks to it run under."""
        kept = {
            name: value
            for name, value in self._env.items()
            if name not in _NOT_INHERITED and not name.startswith("CUDA_MPS_")
        }
        return {
            **kept,
            "CUDA_MPS_PIPE_DIRECTORY": str(place.pipe),
            "CUDA_MPS_LOG_DIRECTORY": str(place.log),
            # A daemon would follow the operator's default otherwise, and the tool with it.
            "CUDA_MPS_PROTOCOL_VERSION": str(self._protocol),
        }

    def _start(self, place: MpsPlace) -> None:
        if len(os.fsencode(place.pipe / "control_privileged")) > _SOCKET_PATH_MAX:
            raise MpsError("the MPS pipe directory's path is too long", str(place.pipe))
        tool = self._tool()
        # Without a record it will be searched for, should we die before writing the new one.
        (self._home(place.gpu) / "daemon").unlink(missing_ok=True)
        for folder in (place.pipe, place.log):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        env = {**self._environment(place), "CUDA_VISIBLE_DEVICES": place.gpu}
        self._record(place.gpu, self._spawn(tool, env, place.log / "daemon.out"))
        self._await_answer(place)

    def _spawn(self, tool: str, env: Mapping[str, str], output: Path) -> int:
        """In the foreground and a session of its own: its pid is the daemon's from the start."""
        redirect = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawn(tool, [tool, "-f"], env, file_actions=redirect, setsid=True)
        self._children.add(pid)
        return pid

    def _record(self, gpu: GpuId, pid: int) -> None:
        if process := self._processes.find(pid):
            (self._home(gpu) / "daemon").write_bytes(msgspec.json.encode(process))

    def _await_answer(self, place: MpsPlace) -> None:
        deadline = self._clock() + self._patience
        while self._clock() < deadline:
            if self._daemon(place.gpu) is None:
                because = (place.log / "daemon.out").read_text(errors="replace").strip()
                raise MpsError("the MPS control daemon ended as it started", because, DOCTOR)
            if (place.pipe / "control").exists():
                self.control(place.gpu).servers()
                return
            time.sleep(0.02)
        raise MpsStuckError("the MPS control daemon does not come up", str(place.log), DOCTOR)

    def _daemon(self, gpu: GpuId) -> ProcessRef | None:
        """The GPU's living daemon, by its record or, when we died before writing one, by search."""
        record = self._home(gpu) / "daemon"
        with contextlib.suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode(record.read_bytes(), type=ProcessRef)
            self._reap(known.pid)
            return known if self._processes.alive(known) else None
        return self._search(gpu) if self._place(gpu).pipe.is_dir() else None

    def _search(self, gpu: GpuId) -> ProcessRef | None:
        mark = f"CUDA_MPS_PIPE_DIRECTORY={self._place(gpu).pipe}".encode()
        for entry in (self._root / "proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                named = (entry / "comm").read_bytes().strip() == _COMM
                program = (entry / "cmdline").read_bytes().split(b"\0")[0]
                if named and program.endswith(BINARY.encode()):
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    if mark in environment and (found := self._processes.find(int(entry.name))):
                        return found
        return None

    def _stop(self, gpu: GpuId) -> None:
        """Ask first; what does not end in time is killed, servers before their daemon."""
        daemon = self._daemon(gpu)
        if daemon is None:
            return
        servers = self._processes.children(daemon)
        with contextlib.suppress(MpsError):
            self.control(gpu).quit()
        if not self._ended(daemon):
            for process in (*servers, daemon):
                self._kill(process)
            self._ended(daemon)

    def _kill(self, process: ProcessRef) -> None:
        descriptor = self._processes.open(process)
        if descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)

    def _ended(self, process: ProcessRef) -> bool:
        deadline = self._clock() + self._patience
        while self._clock() < deadline:
            self._reap(process.pid)
            if not self._processes.alive(process):
                return True
            time.sleep(0.02)
        return False

    def _reap(self, pid: int) -> None:
        """Collect a daemon that is our child; a predecessor's belongs to init."""
        if pid in self._children and os.waitpid(pid, os.WNOHANG) != (0, 0):
            self._children.discard(pid)
