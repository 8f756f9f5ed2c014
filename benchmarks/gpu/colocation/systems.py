# SPDX-License-Identifier: Apache-2.0
"""Other systems that are measured in the same run: how they are found, and how they are started.

They are built outside of this tree. GPUSHARE_BENCH_PEERS names a folder that has one folder for
each, with a file VERSION, which says what it was built from. A system that lacks is not an error.

`hami-core+N`: the job has a limit of N percent; the service runs without the library. The limit
follows samples of NVML, of the first GPU of the machine, and needs seconds to take hold.
`xsched+T/B`: its server lets the higher priority go first; level 1; the job has threshold T and
batch B, the service the values that XSched recommends. Both as their documentation has it.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu import machine

PEERS = "GPUSHARE_BENCH_PEERS"
PATIENCE = 20.0
CLONE_NEWIPC = 0x08000000

Environment = dict[str, str]


@dataclass(frozen=True)
class System:
    """`files`: what must be in its folder, VERSION aside; `takes`: whether a setting is one.

    `settle_s`: how long its job runs before a window begins, so that its limit has taken hold.
    `first_gpu`: it cannot be used on another one.
    """

    name: str
    takes: Callable[[str], bool]
    files: tuple[str, ...]
    settle_s: float = 0.0
    first_gpu: bool = False

    @property
    def folder(self) -> Path:
        return Path(os.environ.get(PEERS) or "/nonexistent").absolute() / self.name

    @property
    def built(self) -> bool:
        there = all((self.folder / each).exists() for each in ("VERSION", *self.files))
        return there and bool(self.version)

    @property
    def lacks(self) -> str:
        """Why it cannot be measured here; "" when it can."""
        if not self.built:
            return "not built"
        return "first GPU only" if self.first_gpu and machine.index() else ""

    @property
    def version(self) -> str:
        """The first line of VERSION: the commit it was built from."""
        return (self.folder / "VERSION").read_text().split("\n", 1)[0].strip()


def _percent(setting: str) -> bool:
    """0 and 100 would be no limit."""
    return bool(re.fullmatch(r"[1-9]\d?", setting))


def _threshold_and_batch(setting: str) -> bool:
    found = re.fullmatch(r"(\d+)/(\d+)", setting)
    return bool(found and int(found[1]) >= int(found[2]) >= 1)


HAMI = System("hami-core", _percent, ("libvgpu.so",), settle_s=8.0, first_gpu=True)
XSCHED = System("xsched", _threshold_and_batch, ("bin/xserver", "lib/libcuda.so.1"))
SYSTEMS = {each.name: each for each in (HAMI, XSCHED)}


@dataclass(frozen=True)
class Started:
    """What the programs of a stage need in their environments."""

    system: System
    scratch: Path

    @property
    def service(self) -> Environment:
        return _xsched(1, "16/8") if self.system is XSCHED else {}

    def job(self, setting: str) -> Environment:
        if self.system is XSCHED:
            return _xsched(0, setting)
        return {
            "LD_PRELOAD": str(HAMI.folder / "libvgpu.so"),
            "CUDA_DEVICE_SM_LIMIT": setting,
            "CUDA_DEVICE_MEMORY_SHARED_CACHE": str(self.scratch / f"limit-{setting}"),
            "LIBCUDA_LOG_LEVEL": "0",
        }


def _libraries() -> Environment:
    """XSched's libraries come before the driver's."""
    paths = [str(XSCHED.folder / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}


def _xsched(priority: int, setting: str) -> Environment:
    threshold, batch = setting.split("/")
    real = driver()
    return {
        **_libraries(),
        "XSCHED_CUDA_LIB": real,
        "CUXTRA_CUDA_LIB": real,  # a library of XSched looks for the driver itself
        "XSCHED_SCHEDULER": "GLB",
        "XSCHED_AUTO_XQUEUE": "ON",
        "XSCHED_AUTO_XQUEUE_LEVEL": "1",
        "XSCHED_AUTO_XQUEUE_PRIORITY": str(priority),
        "XSCHED_AUTO_XQUEUE_THRESHOLD": threshold,
        "XSCHED_AUTO_XQUEUE_BATCH_SIZE": batch,
    }


def driver() -> str:
    """Path of the driver's library, as the loader finds it; "" without one."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
    maps = Path("/proc/self/maps").read_text()
    found = re.search(r"\S*/libcuda\.so\S*", maps)
    return found[0] if found else ""


@contextmanager
def started(system: System) -> Iterator[Started]:
    """The system, with what it needs besides its libraries; ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="gs-peer-") as scratch:
        made = Started(system, Path(scratch))
        if system is XSCHED:
            with _own_queues(), _xserver(Path(scratch) / "log"):
                yield made
        else:
            Path("/tmp/vgpulock").mkdir(exist_ok=True)  # HAMi-core's own, which cannot be chosen
            yield made


@contextmanager
def _own_queues() -> Iterator[None]:
    """Message queues of this run alone: the keys of XSched's are always the same.

    Programs that start meanwhile share them. A user who may not make them uses the machine's.
    """
    libc = ctypes.CDLL(None)
    with Path("/proc/thread-self/ns/ipc").open() as before:
        own = libc.unshare(CLONE_NEWIPC) == 0
        try:
            yield
        finally:
            if own:
                libc.setns(before.fileno(), CLONE_NEWIPC)


@contextmanager
def _xserver(log: Path) -> Iterator[None]:
    port = _free_port()
    with log.open("w") as out:
        server = subprocess.Popen(
            [XSCHED.folder / "bin" / "xserver", "HPF", str(port)],
            env={**os.environ, **_libraries()},
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _until_it_listens(server, port, log)
        yield
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Interrupted, it removes its message queues."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(PATIENCE)


def _until_it_listens(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"xserver does not listen: {log.read_text()[-300:]}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
