# SPDX-License-Identifier: Apache-2.0
"""Programs run close to their GPUs, unless their CPUs are restricted already."""

import os
import subprocess
import sys

import pytest

from gpushare.model.ids import ShareId
from gpushare.model.view import Entry
from gpushare.session.cpu_affinity import LinuxKernel, bind_to_nearest


class Noted:
    def __init__(self, allowed) -> None:
        self._allowed, self.cpus, self.node = allowed, None, None

    def allowed(self):
        return self._allowed

    def run_on(self, cpus) -> None:
        self.cpus = set(cpus)

    def prefer(self, node) -> None:
        self.node = node


def entry(cpus=(), numa=()) -> Entry:
    return Entry(share=ShareId("a"), env={}, cpus=tuple(cpus), numa=tuple(numa))


def test_a_program_runs_where_its_gpu_is() -> None:
    kernel = Noted(range(8))
    bind_to_nearest(entry(range(4, 8), (1,)), kernel, online=8)
    assert (kernel.cpus, kernel.node) == ({4, 5, 6, 7}, 1)


@pytest.mark.parametrize(
    ("allowed", "cpus"),
    [
        (range(4), range(4, 8)),  # none of them is allowed
        ((1, 5), range(4, 8)),  # restricted already
        (range(8), ()),  # the kernel does not say which are near
        (range(8), range(8)),  # all are
    ],
)
def test_nothing_changes_otherwise(allowed, cpus) -> None:
    kernel = Noted(allowed)
    bind_to_nearest(entry(cpus, (1,)), kernel, online=8)
    assert (kernel.cpus, kernel.node) == (None, None)


def test_gpus_of_two_nodes_prefer_no_memory() -> None:
    kernel = Noted(range(8))
    bind_to_nearest(entry(range(2, 6), (0, 1)), kernel, online=8)
    assert (kernel.cpus, kernel.node) == ({2, 3, 4, 5}, None)


def test_the_kernel_does_it() -> None:
    """In a process of its own, which is asked afterwards where it may run."""
    cpu = min(os.sched_getaffinity(0))
    code = (
        "import os; from gpushare.session.cpu_affinity import LinuxKernel\n"
        f"k = LinuxKernel(); k.run_on({{{cpu}}}); k.prefer(0)\n"
        "print(sorted(os.sched_getaffinity(0)), len(bytearray(1 << 20)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"[{cpu}] {1 << 20}\n"
    LinuxKernel().prefer(100_000)  # no such node: nothing happens
