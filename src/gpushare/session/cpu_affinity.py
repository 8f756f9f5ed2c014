# SPDX-License-Identifier: Apache-2.0
"""Runs a program on the CPUs and the memory that are close to its GPUs."""

import ctypes
import os
import platform
from collections.abc import Collection
from typing import Protocol

from gpushare.model.view import Entry

_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}  # set_mempolicy(2)
_PREFERRED = 1
_WORD = 64
_NODES = 1024  # as many as the kernel has at most (CONFIG_NODES_SHIFT 10)


class AffinityCalls(Protocol):
    """What the kernel is asked about this process."""

    def allowed(self) -> Collection[int]: ...

    def run_on(self, cpus: Collection[int]) -> None: ...

    def prefer(self, node: int) -> None:
        """Take memory from this NUMA node while it has some."""
        ...


class LinuxKernel:
    def allowed(self) -> Collection[int]:
        return os.sched_getaffinity(0)

    def run_on(self, cpus: Collection[int]) -> None:
        os.sched_setaffinity(0, cpus)

    def prefer(self, node: int) -> None:
        """Where the kernel or a container refuses, memory comes from where the program runs."""
        number = _SET_MEMPOLICY.get(platform.machine())
        if number is None or node >= _NODES:
            return
        mask = (ctypes.c_uint64 * (_NODES // _WORD))()
        mask[node // _WORD] = 1 << node % _WORD
        ctypes.CDLL(None).syscall(number, _PREFERRED, mask, _NODES + 1)


def bind_to_nearest(
    entry: Entry, kernel: AffinityCalls | None = None, online: int | None = None
) -> None:
    """Before the program starts; its children inherit it.

    Who has chosen CPUs already (taskset, a cpuset, Slurm) knows better, and is left alone.
    """
    kernel = kernel or LinuxKernel()
    allowed = set(kernel.allowed())
    near = allowed.intersection(entry.cpus)
    if not near or near == allowed or len(allowed) < (online or os.cpu_count() or 0):
        return
    kernel.run_on(near)
    if len(entry.numa) == 1:
        kernel.prefer(entry.numa[0])
