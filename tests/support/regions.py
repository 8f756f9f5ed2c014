# SPDX-License-Identifier: Apache-2.0
"""A share's region as a guard would have written it."""

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpushare.guard import GpuPage, Region, layout

NAMESPACE = os.stat("/proc/self/ns/pid").st_ino & 0xFFFFFFFF  # noqa: PTH116 (follows the link)


def charges(*sizes: int) -> Any:
    """Bytes on each GPU, as a slot has them in `charged` and `cached`."""
    return dict(layout.GsRegionSlot._fields_)["charged"](*sizes)


LIFE = 1 << 50


@contextmanager
def living(path: Path, life: int = LIFE) -> Iterator[None]:
    """Until the block is left, a process lives that has begun this life in the file."""
    with path.open("r+b") as file:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, life, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        yield


def put_slot(region: Region, number: int = 0, **fields: Any) -> None:
    """Write one process' slot; the region then has at least that many."""
    slot = layout.GsRegionSlot(**{"pid_namespace": NAMESPACE, **fields})
    raw = layout.GsRegion.from_buffer_copy(region.path.read_bytes())
    high = max(raw.header.slots_high, number + 1)
    with region.path.open("r+b") as file:
        file.seek(layout.GsRegionHeader.slots_high.offset)
        file.write(high.to_bytes(4, "little"))
        file.seek(layout.GsRegion.slot.offset + number * ctypes.sizeof(layout.GsRegionSlot))
        file.write(bytes(slot))


def put_gpu(region: Region, number: int = 0, **fields: int) -> None:
    """Write words of one GPU."""
    base = layout.GsRegion.gpu.offset + number * ctypes.sizeof(layout.GsRegionGpu)
    with region.path.open("r+b") as file:
        for name, value in fields.items():
            file.seek(base + getattr(layout.GsRegionGpu, name).offset)
            file.write(value.to_bytes(8, "little"))


_LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fds = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]
for fd in fds:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("leased", flush=True)
sys.stdin.read()
"""


@contextmanager
def leased(*paths: Path) -> Iterator[None]:
    """Another process has a lease on the files, and keeps it when it is asked to give it back."""
    words = [sys.executable, "-c", _LEASE, *map(str, paths)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"leased\n"
        yield
        process.kill()


def put_process(page: GpuPage, number: int = 0, **fields: int) -> None:
    """Write one process slot of a GPU page; the page then has at least that many."""
    raw = layout.GsGpuPage.from_buffer_copy(page.path.read_bytes())
    raw.header.process_slots_high = max(raw.header.process_slots_high, number + 1)
    raw.process_slot[number] = layout.GsProcessSlot(**fields)
    with page.path.open("r+b") as file:
        file.write(bytes(raw))
