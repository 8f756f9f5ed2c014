# SPDX-License-Identifier: Apache-2.0
"""Which slots of a region belong to living processes, and who they are on this machine."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gpushare.guard import RegionSlot
from gpushare.hardware.linux.namespaces import is_ours
from gpushare.hardware.ports import Processes
from gpushare.model.share import ProcessRef


def _lives(slot: RegionSlot, alive: Callable[[ProcessRef], bool]) -> bool:
    """By its lock, which means the same in every pid namespace.

    Without one a process of another namespace counts as alive, because its pid means nothing here.
    """
    if slot.lives is not None:
        return slot.lives
    return not is_ours(slot.pid_namespace) or alive(_process(slot))


class LivingSlots:
    """Names processes of other pid namespaces by the pids that they have in ours."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._here: dict[int, ProcessRef] = {}  # by life

    def among(self, slots: Sequence[RegionSlot]) -> tuple[list[RegionSlot], tuple[int, ...]]:
        """The living slots, and the pids of those that can be seen from here."""
        living = [slot for slot in slots if _lives(slot, self._processes.alive)]
        named = [(slot, self._pid(slot)) for slot in living]
        return (
            [slot if pid is None else replace(slot, pid=pid) for slot, pid in named],
            tuple(pid for _, pid in named if pid is not None),
        )

    def _pid(self, slot: RegionSlot) -> int | None:
        if is_ours(slot.pid_namespace):
            return slot.pid
        process = self._here.get(slot.life)
        if process is None or not self._processes.alive(process):
            self._here.pop(slot.life, None)
            process = self._processes.inside(slot.pid_namespace, _process(slot))
        if process is None:
            return None
        self._here[slot.life] = process
        return process.pid


def _process(slot: RegionSlot) -> ProcessRef:
    return ProcessRef(pid=slot.pid, started=slot.started)
