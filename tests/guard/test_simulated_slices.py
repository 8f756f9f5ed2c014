# SPDX-License-Identifier: Apache-2.0
"""The time slices of the simulated GPU, and how many changes of contexts the guard's turns save."""

import subprocess

from gpushare.guard import native_root

from .test_gate import Tenants, tenants

__all__ = ["tenants"]  # the fixture

KERNEL = "20000000"  # ns: ten slices of 2048 µs
HALF = 5000  # of 10,000


def changes(tenants: Tenants) -> int:
    """How often the GPU went from one process to another."""
    tool = native_root() / "simgpu" / "gpushare-sim-machine"
    shown = subprocess.run(
        [tool, "show", str(tenants.machine.image)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    [line] = [line for line in shown.splitlines() if line.startswith("# device 0 ")]
    return int(line.rsplit("changes=", 1)[1])


def changes_per_kernel(tenants: Tenants) -> float:
    before = changes(tenants), launched(tenants)
    for number in range(2):
        tenants.launches(number, 40)
    return (changes(tenants) - before[0]) / (launched(tenants) - before[1])


def launched(tenants: Tenants) -> int:
    return sum(slot.launches for slot in tenants.page.snapshot().share_slots)


def test_turns_of_the_guard_save_changes_of_contexts(tenants: Tenants) -> None:
    for _ in range(2):
        tenants.start("work", KERNEL)
    by_the_driver = changes_per_kernel(tenants)
    for number in range(2):
        tenants.change(number, limit=HALF, request=HALF)
    tenants.until(lambda: tenants.page.snapshot().turns, "there are no turns")
    by_the_guard = changes_per_kernel(tenants)
    assert by_the_guard < by_the_driver * 2 / 3
