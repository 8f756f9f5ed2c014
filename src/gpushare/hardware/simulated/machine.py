# SPDX-License-Identifier: Apache-2.0
"""A running simulated machine: a folder with the image, and the environment that leads there."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpushare.guard import native_root
from gpushare.model.errors import GuardMissingError, HardwareError

from .profile import load_model, load_profile
from .spec import spec

_PREFIX = "gpushare-sim-"
_TOOL_SECONDS = 30
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
        """`base` (default: this process' environment) changed so that programs see this machine."""
        environment = dict(os.environ if base is None else base)
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
        text = spec(description, load_model(description.model))
        _run_tool(tools, ["create", str(made.image)], text)
        yield made


def _base() -> Path:
    """Where machines live: memory, when there is some, for every process writes the image."""
    memory = Path("/dev/shm")  # noqa: S108 (mkdtemp makes the folder private)
    chosen = "TMPDIR" in os.environ or not os.access(memory, os.W_OK)
    return Path(tempfile.gettempdir()) if chosen else memory


@contextlib.contextmanager
def _folder(base: Path) -> Iterator[Path]:
    """A private folder, locked as long as its owner lives so that `_collect` leaves it alone."""
    hidden = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=base))
    lock = os.open(hidden, os.O_RDONLY | os.O_DIRECTORY)
    folder = hidden.with_name(hidden.name[1:])
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only a locked folder gets the name that `_collect` looks for, or another process could
        # remove it.
        hidden.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _collect(base: Path) -> None:
    """Remove the machines of owners that were killed."""
    for folder in base.glob(f"{_PREFIX}*"):
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
