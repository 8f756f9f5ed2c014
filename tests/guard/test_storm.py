# SPDX-License-Identifier: Apache-2.0
"""Tenants of all kinds come, go, stop, die, are moved and get other limits, at random.

Whatever happens, work comes out right, and when all have gone nothing keeps anyone out.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from gpushare.guard import Region
from gpushare.guard.gpu_page import Rank
from gpushare.model.units import Bytes

from .test_gate import Tenants, finish, tenants

__all__ = ["tenants"]  # the fixture

Program = subprocess.Popen[str]
Act = Callable[[int], None]

AT_ONCE = 5
WORK = (
    ("order", "4000"),
    ("work", "150000"),
    ("work", "900000"),
    ("graph", "400000"),
    ("serve", "300000", "1500"),
    ("poll", "200000", "2500"),
)


class Storm:
    def __init__(self, tenants: Tenants, seed: int) -> None:
        self._tenants, self._chance = tenants, random.Random(seed)
        self._living: dict[int, Program] = {}
        self._away: set[int] = set()
        self._checked: dict[int, int] = {}  # tenants whose work tells whether it was done right

    def step(self) -> None:
        acts: list[Act] = [self.end, self.kill, self.stop, self.change, self.move]
        if len(self._living) < AT_ONCE:
            self.start()
        else:
            self._chance.choice(acts)(self._chance.choice(list(self._living)))
        time.sleep(self._chance.uniform(0, 0.2))

    def policy(self) -> dict[str, object]:
        limit = self._chance.choice([10000, 10000, 6000, 2500])
        request = 0 if limit == 10000 else min(limit, 1500)
        return {"rank": self._chance.choice(list(Rank)), "limit": limit, "request": request}

    def start(self) -> None:
        number, work = self._tenants.free(), self._chance.choice(WORK)
        movable = self._chance.random() < 0.7
        self._living[number] = self._tenants.start(
            *work, number=number, movable=movable, **self.policy()
        )
        if work[0] == "order":
            self._checked[number] = int(work[1])

    def end(self, number: int) -> None:
        """In order: it has to have done all its work, and done it right."""
        self.back(number)
        process = self._living.pop(number)
        try:
            done = finish(process)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{number} hangs: {self._tenants.page.snapshot()}") from late
        assert done == self._checked.pop(number, done)
        self._tenants.leave(number)

    def kill(self, number: int) -> None:
        process = self._living.pop(number)
        process.kill()
        process.communicate(timeout=120)
        self._away.discard(number)
        self._checked.pop(number, None)
        self._tenants.leave(number)

    def stop(self, number: int) -> None:
        process = self._living[number]
        process.send_signal(signal.SIGSTOP)
        time.sleep(self._chance.uniform(0, 0.15))
        process.send_signal(signal.SIGCONT)

    def change(self, number: int) -> None:
        self._tenants.change(number, **self.policy())

    def move(self, number: int) -> None:
        if number in self._away:
            self.back(number)
        else:
            self._region(number).suspend(Bytes(0))
            self._away.add(number)

    def back(self, number: int) -> None:
        if number in self._away:
            self._region(number).resume()
            self._away.discard(number)

    def calm(self) -> None:
        for number in list(self._living):
            self.end(number)

    def _region(self, number: int) -> Region:
        return self._tenants.region(number)


def rage(tenants: Tenants, seed: int, seconds: float, steps: int) -> None:
    storm, until = Storm(tenants, seed), time.monotonic() + seconds
    for _ in range(steps):
        storm.step()
        if time.monotonic() > until:
            break
    storm.calm()
    # A program that is started now gets the GPU, whatever the others left behind.
    last = tenants.start("order", "200", number=tenants.free(), rank=Rank.LOW)
    assert finish(last) == 200
    assert [slot.gate for slot in tenants.page.snapshot().share_slots if slot.gate] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_squall(tenants: Tenants, seed: int) -> None:
    rage(tenants, seed, 25, 60)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif("GPUSHARE_TEST_SLOW" not in os.environ, reason="GPUSHARE_TEST_SLOW=1: 10 min")
def test_ten_minutes_of_storm(tenants: Tenants) -> None:
    rage(tenants, 3, 600, 10**6)
