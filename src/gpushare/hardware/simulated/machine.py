# SPDX-License-Identifier: Apache-2.0
"""A running simulated machine: a folder with the image, and the environment that leads there."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpushare.config.announced import LOCK
from gpushare.guard import native_root
from gpushare.model.errors import GuardMissingError, HardwareError

from .presence import PREFIX, machine_folder
from .profile import load_model, load_profile
from .spec import spec

_TOOL_SECONDS = 30
_DAEMON_SECONDS = 30.0  # its shares have a grace period to end in
_REMOTE = ("GPUSHARE_HOST", "GPUSHARE_CONTEXT")
# They name GPUs of the machine below, not of the simulated one.
_REAL_GPUS = (
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
)


class SimulatedMachine:
    """What a simulated machine is called, where it lives and how programs get onto it."""

    def __init__(self, profile: str, folder: Path, tools: Path) -> None:
        self.profile = profile
        self.folder = folder
        self.image = folder / "image"
        self._tools = tools

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """`base` (default: this process' environment) changed so that programs see this machine.

        Its daemon has folders of its own, also for root, whose default folders are the real
        machine's. Folders that `base` names are kept, unless they are those of another simulated
        machine.
        """
        environment = dict(os.environ if base is None else base)
        environment |= self._folders(environment)
        for name in _REMOTE:
            environment.pop(name, None)
        for name in _REAL_GPUS:
            environment.pop(name, None)
        for name in ("PATH", "LD_LIBRARY_PATH"):
            environment[name] = os.pathsep.join(
                filter(None, [str(self._tools), environment.get(name)])
            )
        environment["GPUSHARE_SIM_MACHINE"] = str(self.image)
        environment["CUDA_MPS_PIPE_DIRECTORY"] = str(self.folder / "mps")
        environment["CUDA_MPS_LOG_DIRECTORY"] = str(self.folder / "log")
        return environment

    def _folders(self, base: Mapping[str, str]) -> dict[str, str]:
        run, outer = self.folder / "run", machine_folder(base)
        own = {
            "GPUSHARE_STATE_DIR": self.folder / "state",
            "GPUSHARE_RUNTIME_DIR": run,
            "GPUSHARE_SOCKET": run / "gpushare.sock",
        }
        kept = {name for name in own if base.get(name) and not _below(base[name], outer)}
        return {name: str(path) for name, path in own.items() if name not in kept}

    def fault(self, *words: str) -> None:
        """Break or heal the machine: `fault("gpu=0", "xid=31")`, `fault("clear")`.

        The words are those of `gpushare-sim-machine fault`; raises HardwareError when it refuses.
        """
        _run_tool(self._tools, ["fault", str(self.image), *words], "")


@contextlib.contextmanager
def machine(profile: str) -> Iterator[SimulatedMachine]:
    """A fresh machine of this profile, gone when the block is left.

    Raises UnknownProfileError, GuardMissingError (the native parts are not built) and
    HardwareError (the machine could not be made).
    """
    description = load_profile(profile)
    tools = native_root() / "simgpu"
    base = _base()
    _collect(base)
    with _folder(base) as folder:
        made = SimulatedMachine(profile, folder, tools)
        text = spec(description, load_model(description.model), os.environ)
        _run_tool(tools, ["create", str(made.image)], text)
        yield made


def _base() -> Path:
    """Where machines live: memory, when there is some, for every process writes the image."""
    memory = Path("/dev/shm")  # noqa: S108 (mkdtemp makes the folder private)
    chosen = "TMPDIR" in os.environ or not os.access(memory, os.W_OK)
    return Path(tempfile.gettempdir()) if chosen else memory


@contextlib.contextmanager
def _folder(base: Path) -> Iterator[Path]:
    """A folder, locked as long as its owner lives so that `_collect` leaves it alone.

    Private, except root's: other users compute on the machine too, and each file has its own mode.
    """
    hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    if os.geteuid() == 0:
        hidden.chmod(0o755)
    lock = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY)
    folder = hidden.with_name(hidden.name[1:])
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only a locked folder gets the name that `_collect` looks for, or another process could
        # remove it.
        hidden.rename(folder)
        yield folder
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
        _await_daemon(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _await_daemon(folder: Path) -> None:
    """Wait until the machine's daemon has ended, which it does when the folder is not locked."""
    with contextlib.suppress(OSError):
        daemon = os.open(folder / "state" / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _locked_within(daemon, _DAEMON_SECONDS)
        finally:
            os.close(daemon)


def _locked_within(descriptor: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _below(path: str, folder: Path | None) -> bool:
    return folder is not None and folder in Path(path).parents


def _collect(base: Path) -> None:
    """Remove the machines of owners that were killed."""
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _run_tool(tools: Path, arguments: list[str], text: str) -> None:
    tool = tools / "gpushare-sim-machine"
    try:
        done = subprocess.run(
            [tool, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise GuardMissingError(
            "cannot simulate a machine", f"{tool} does not exist", "make native"
        ) from error
    if done.returncode != 0:
        reason = done.stderr.strip().removeprefix("gpushare-sim-machine: ")
        raise HardwareError(f"the simulated machine refused {arguments[0]!r}", reason)
