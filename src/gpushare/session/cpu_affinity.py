# SPDX-License-Identifier: Apache-2.0
"""Binds a program to the CPUs and the memory closest to its GPUs."""

import ctypes
import os
import platform
from collections.abc import Collection
from typing import Protocol

from gpushare.model.view import Entry

_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}  # set_mempolicy(2)
_PREFERRED = 1
_WORD = 64
_NODES = 1024  # maximum of the Linux kernel (CONFIG_NODES_SHIFT 10)


class AffinityCalls(Protocol):
    """Scheduling calls for this process."""

    def allowed(self) -> Collection[int]: ...

    def run_on(self, cpus: Collection[int]) -> None: ...

    def prefer(self, node: int) -> None:
        """Prefer memory of this NUMA node."""
        ...


class LinuxKernel:
    def allowed(self) -> Collection[int]:
        return os.sched_getaffinity(0)

    def run_on(self, cpus: Collection[int]) -> None:
        os.sched_setaffinity(0, cpus)

    def prefer(self, node: int) -> None:
        """If the call is refused, as in some containers, the default remains: the local node."""
        number = _SET_MEMPOLICY.get(platform.machine())
        if number is None or node >= _NODES:
            return
        mask = (ctypes.c_uint64 * (_NODES // _WORD))()
        mask[node // _WORD] = 1 << node % _WORD
        ctypes.CDLL(None).syscall(number, _PREFERRED, mask, _NODES + 1)


def bind_to_nearest(
    entry: Entry, kernel: AffinityCalls | None = None, online: int | None = None
) -> None:
    """Bind this process; the program and its children inherit it.

    Does nothing if the CPUs are restricted already, by taskset, a cpuset or Slurm.
    """
    kernel = kernel or LinuxKernel()
    allowed = set(kernel.allowed())
    near = allowed.intersection(entry.cpus)
    if not near or near == allowed or len(allowed) < (online or os.cpu_count() or 0):
        return
    kernel.run_on(near)
    # MPOL_PREFERRED uses one node (set_mempolicy(2)). For several, the default stays: the local
    # node.
    if len(entry.numa) == 1:
        kernel.prefer(entry.numa[0])
