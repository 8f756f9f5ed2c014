# SPDX-License-Identifier: Apache-2.0
"""Our MPS control daemons: one per GPU, each with its own pipe and log directory.

One daemon per GPU, because a fault reaches every client of a server and, until all of them have
left, new clients of its healthy GPUs too (NVIDIA MPS docs, error containment). A program reaches
one daemon only, so shares of several GPUs have one for exactly these GPUs (ADR 0042).
"""

import contextlib
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from signal import Signals

import msgspec

from gpushare.hardware.linux.signals import send
from gpushare.hardware.ports import MpsGpus as Gpus
from gpushare.hardware.ports import MpsPlace, Processes, home_of
from gpushare.model.errors import MpsError, MpsStuckError
from gpushare.model.ids import GpuId
from gpushare.model.share import ProcessRef
from gpushare.model.value import Value

from .control import HELP, STUCK_HELP, MpsShell, Silence
from .dialect import dialect

BINARY = "nvidia-cuda-mps-control"
_COMM = BINARY[:15].encode()  # what the kernel keeps of a program's name; both have the same
# Of a share's programs. A guard inside a daemon would charge the share that happens to start it.
SHARE_VARIABLES = ("LD_PRELOAD", "GPUSHARE_REGION", "GPUSHARE_SHARE", "CUDA_VISIBLE_DEVICES")
_SOCKET_PATH_MAX = 107
_GPUS = "gpus"  # the file that names those of a home for several


class _DaemonRecord(Value):
    """The daemon that was started for a GPU, and the protocol it speaks."""

    process: ProcessRef
    protocol: int


class MpsDaemons:
    """Implements the Mps port below `folder`. Threads may share it.

    <folder>/<home>/{pipe,log}: the daemon's; /daemon: its record; /holders/: one empty file per
    holder; /gpus: which it serves, in a home for several GPUs. `protocol`: of daemons started from
    now on; 2 is every release's default, 3 needs driver 615. `patience`: seconds to wait for an
    answer or an end, `start_patience` for a start.

    Work on one daemon waits for no other (`_locks`).
    """

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        env: Mapping[str, str] | None = None,
        *,
        root: Path = Path("/"),
        protocol: int = 2,
        patience: float = 3.0,
        start_patience: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._processes, self._root = folder, processes, root
        self._env = dict(os.environ if env is None else env)
        self._protocol, self._patience, self._clock = protocol, patience, clock
        self._start_patience = start_patience
        self._children: set[int] = set()
        self._locks: defaultdict[Gpus, threading.RLock] = defaultdict(threading.RLock)
        self._silences: dict[ProcessRef, Silence] = {}

    def binary(self) -> str | None:
        """The control tool on PATH."""
        return shutil.which(BINARY, path=self._env.get("PATH"))

    def acquire(self, gpus: Gpus, holder: str) -> MpsPlace:
        holders = self._home(gpus) / "holders"
        with self._locks[gpus], _folders(holders):
            holders.mkdir(parents=True, exist_ok=True)
            if len(gpus) > 1:
                (holders.parent / _GPUS).write_text("\n".join(gpus))
            # Before the start: if this daemon dies in between, its successor finds the MPS daemon
            # with a holder.
            (holders / holder).touch()
            # Ids of shares are for their owners.
            holders.chmod(0o700)
            if self._daemon(gpus) is None:
                self._start(gpus)
        return self._place(gpus)

    def release(self, gpus: Gpus, holder: str | None) -> None:
        home = self._home(gpus)
        with self._locks[gpus], _folders(home):
            if holder is not None:
                (home / "holders" / holder).unlink(missing_ok=True)
            if home.is_dir() and not any((home / "holders").glob("*")):
                self._stop(gpus)
                shutil.rmtree(home)

    def holders(self) -> dict[Gpus, tuple[str, ...]]:
        if not self._folder.is_dir():
            return {}
        return {
            _served(home): tuple(sorted(holder.name for holder in (home / "holders").glob("*")))
            for home in sorted(self._folder.iterdir())
        }

    def control(self, gpus: Gpus) -> MpsShell:
        daemon = self._daemon(gpus)
        if daemon is None:
            what = f"no MPS control daemon runs for {', '.join(gpus)}"
            raise MpsError(what, "it ended or was killed", HELP)
        environment = self._environment(gpus, daemon.protocol)
        speech, log = dialect(daemon.protocol), self._place(gpus).log
        silence = self._silence(daemon.process)
        return MpsShell(
            self._tool(), environment, speech, log, patience=self._patience, silence=silence
        )

    def _silence(self, daemon: ProcessRef) -> Silence:
        known = {it: s for it, s in self._silences.copy().items() if self._processes.alive(it)}
        self._silences = known
        return known.setdefault(daemon, Silence(self._clock))

    def restart(self, gpus: Gpus) -> None:
        with self._locks[gpus], _folders(self._home(gpus)):
            self._stop(gpus)
            self._start(gpus)

    def _home(self, gpus: Gpus) -> Path:
        return self._folder / home_of(gpus)

    def _place(self, gpus: Gpus) -> MpsPlace:
        home = self._home(gpus)
        return MpsPlace(gpus=gpus, pipe=home / "pipe", log=home / "log")

    def _tool(self) -> str:
        if tool := self.binary():
            return tool
        raise MpsError("MPS is not installed", f"{BINARY} is not on PATH", HELP)

    def _environment(self, gpus: Gpus, protocol: int) -> dict[str, str]:
        """What a daemon, and the tool that talks to it, run under."""
        kept = {
            name: value
            for name, value in self._env.items()
            if name not in SHARE_VARIABLES and not name.startswith("CUDA_MPS_")
        }
        return {
            **kept,
            "CUDA_MPS_PIPE_DIRECTORY": str(self._place(gpus).pipe),
            "CUDA_MPS_LOG_DIRECTORY": str(self._place(gpus).log),
            # Set explicitly: the operator may have set another one for their own daemon.
            "CUDA_MPS_PROTOCOL_VERSION": str(protocol),
        }

    def _start(self, gpus: Gpus) -> None:
        place, tool = self._place(gpus), self._tool()
        if len(os.fsencode(place.pipe / "control_privileged")) > _SOCKET_PATH_MAX:
            raise MpsError("the MPS pipe directory's path is too long", str(place.pipe))
        # Without a record it will be searched for, should we die before writing the new one.
        (self._home(gpus) / "daemon").unlink(missing_ok=True)
        # Clients of every user, and servers with their uids, must get through to the pipes,
        # whatever our umask is. The logs, which the daemon writes, name users and pids.
        for folder, mode in ((place.pipe, 0o711), (place.log, 0o700)):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            folder.chmod(mode)
        self._home(gpus).chmod(0o711)
        # The daemon serves these GPUs only, so that a fault stays on them (ADR 0010).
        env = {**self._environment(gpus, self._protocol), "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
        pid = self._spawn(tool, env, place.log / "daemon.out")
        if process := self._processes.find(pid):
            record = _DaemonRecord(process=process, protocol=self._protocol)
            (self._home(gpus) / "daemon").write_bytes(msgspec.json.encode(record))
        self._await_answer(place)

    def _spawn(self, tool: str, env: Mapping[str, str], output: Path) -> int:
        """In the foreground and a session of its own: its pid is the daemon's from the start."""
        redirect = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        pid = os.posix_spawn(tool, [tool, "-f"], env, file_actions=redirect, setsid=True)
        self._children.add(pid)
        return pid

    def _await_answer(self, place: MpsPlace) -> None:
        """Until its socket answers; a socket that is there may not be listening yet."""
        deadline = self._clock() + self._start_patience
        while self._clock() < deadline:
            if self._daemon(place.gpus) is None:
                because = (place.log / "daemon.out").read_text(errors="replace").strip()
                raise MpsError("the MPS control daemon ended as it started", because, HELP)
            if (place.pipe / "control").exists() and self._answers(place.gpus):
                return
            time.sleep(0.02)
        raise MpsStuckError("the MPS control daemon does not come up", str(place.log), STUCK_HELP)

    def _answers(self, gpus: Gpus) -> bool:
        try:
            self.control(gpus).servers()
        except MpsStuckError:
            raise
        except MpsError:
            return False
        return True

    def _daemon(self, gpus: Gpus) -> _DaemonRecord | None:
        """The GPU's living daemon, by its record or, when we died before writing one, by search."""
        record = self._home(gpus) / "daemon"
        with contextlib.suppress(OSError, msgspec.DecodeError):
            daemon = msgspec.json.decode(record.read_bytes(), type=_DaemonRecord)
            self._reap(daemon.process.pid)
            return daemon if self._processes.alive(daemon.process) else None
        daemons = (daemon for program, daemon in self._family(gpus) if program == BINARY)
        return next(daemons, None) if self._place(gpus).pipe.is_dir() else None

    def _family(self, gpus: Gpus) -> Iterator[tuple[str, _DaemonRecord]]:
        """The GPU's daemon and its servers, orphans too, by the pipe directory they started on.

        Any user can start a program of that name with any environment. So a daemon counts only if
        it runs as we do, and a server, which runs as its clients do, only if it is the installed
        program.
        """
        pipe = str(self._place(gpus).pipe)
        for entry in (self._root / "proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                if (entry / "comm").read_bytes().strip() != _COMM:
                    continue
                process = self._processes.find(int(entry.name))
                program = Path(_words(entry / "cmdline")[0]).name
                if process is None or not self._genuine(program, process):
                    continue
                environment = dict(word.partition("=")[::2] for word in _words(entry / "environ"))
                if environment.get("CUDA_MPS_PIPE_DIRECTORY") == pipe:
                    protocol = _protocol(environment.get("CUDA_MPS_PROTOCOL_VERSION", ""))
                    yield program, _DaemonRecord(process=process, protocol=protocol)

    def _genuine(self, program: str, process: ProcessRef) -> bool:
        if self._processes.uid(process) == os.geteuid():
            return True
        if program == BINARY or (tool := self.binary()) is None:
            return False
        started = (self._root / "proc" / str(process.pid) / "exe").readlink()
        return started.parent == Path(tool).resolve().parent

    def _stop(self, gpus: Gpus) -> None:
        """Ask them to end first, then kill those that are left, orphaned servers included."""
        if daemon := self._daemon(gpus):
            with contextlib.suppress(MpsError):
                self.control(gpus).quit()
                self._ended(daemon.process)
        for _, left in list(self._family(gpus)):
            self._kill(left.process)
            self._ended(left.process)

    def _kill(self, process: ProcessRef) -> None:
        send(self._processes, process, Signals.SIGKILL)

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


@contextlib.contextmanager
def _folders(folder: Path) -> Iterator[None]:
    """Trouble with our own files is MPS trouble to the caller."""
    try:
        yield
    except OSError as error:
        raise MpsError(
            f"cannot keep MPS files in {folder}", error.strerror or str(error)
        ) from error


def _served(home: Path) -> Gpus:
    with contextlib.suppress(OSError):
        return tuple(map(GpuId, (home / _GPUS).read_text().split()))
    return (GpuId(home.name),)


def _protocol(text: str) -> int:
    """2 is what every release speaks unless it is set otherwise."""
    return int(text) if text in {"2", "3"} else 2


def _words(path: Path) -> list[str]:
    return path.read_bytes().decode(errors="replace").strip("\0").split("\0")
