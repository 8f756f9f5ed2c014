# SPDX-License-Identifier: Apache-2.0
"""Takes a program off the GPU and back. In smoke runs it is stopped instead."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from . import machine
from .share import AHEAD, AWAY, MOVABLE, RUNS, Share, guarded
from .swap import Swap

CONTEXT = 527 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Move:
    """`own_s` is what the guard took from the wish on; `wall_s` what a poller saw."""

    wall_s: float
    own_s: float
    moved: int

    def row(self) -> dict[str, Any]:
        rate = self.moved / GIB / self.own_s if self.own_s else None
        return {**asdict(self), "gib_per_s": rate}


class Mover:
    def __init__(self, share: Share | None) -> None:
        self._share, self._pid, self._asked = share, 0, 0.0

    @property
    def edits(self) -> dict[str, str]:
        return self._share.edits if self._share else {}

    def attach(self, pid: int) -> None:
        self._pid = pid

    def ask_out(self, keep: int = 0) -> None:
        self._asked = time.monotonic()
        if self._share:
            self._share.suspend(keep)
        elif self._pid:
            os.kill(self._pid, signal.SIGSTOP)

    def ask_in(self) -> None:
        self._asked = time.monotonic()
        if self._share:
            self._share.resume()
        elif self._pid:
            os.kill(self._pid, signal.SIGCONT)

    def out(self) -> Move:
        """Waits until it has left."""
        return self._ended(AWAY)

    def back(self) -> Move:
        return self._ended(RUNS)

    def _ended(self, phase: int) -> Move:
        if self._share is None:
            return Move(time.monotonic() - self._asked, 0.0, 0)
        slot = self._share.until(phase)
        took = slot.out_ns if phase == AWAY else slot.in_ns
        return Move(time.monotonic() - self._asked, took / 1e9, slot.moved)

    def ready_ahead(self, patience: float = 30.0) -> bool:
        """Waits until host memory is registered for all that can move."""
        end = time.monotonic() + patience
        while self._share and time.monotonic() < end:
            slot = self._share.slot()
            if slot and slot.movable and slot.host >= slot.movable:
                return True
            time.sleep(0.05)
        return self._share is None


@contextmanager
def movable(limit: int, swap: Swap | None, *, ahead: bool = True) -> Iterator[Mover]:
    """A share whose memory can leave the GPU."""
    if machine.smoke():
        yield Mover(None)
        return
    flags = MOVABLE | (AHEAD if ahead else 0)
    folder = swap.folder if swap else None
    uuid = machine.first_gpu()["uuid"]
    with guarded(uuid, limit, CONTEXT, flags=flags, swap=folder) as share:
        yield Mover(share)
