# SPDX-License-Identifier: Apache-2.0
"""Ways around limits, programs outside a share, and what an idle share is guaranteed."""

import msgspec
import pytest

from gpushare.model.share import (
    Attack,
    AttackResult,
    Enforcement,
    Finding,
    Level,
    Trial,
)
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB, Bytes
from gpushare.model.verification import (
    OUT_OF_MEMORY,
    Attempt,
    Escape,
    View,
)
from gpushare.verification.outsider import Outsider
from support.reports import (
    ASKED,
    CARD,
    LIMIT,
    card,
    decided,
    device,
    finding,
    judged,
    outside,
    report,
)
from support.shares import GPU

LOCKED = Enforcement(memory=Level.ENFORCED, compute=Level.ENFORCED)
OPEN = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
UNAVAILABLE, OTHER_ERROR = 46, 999


@pytest.mark.parametrize("dimension", ["memory", "compute"])
@pytest.mark.parametrize(
    ("outsider", "level"),
    [
        (Outsider(view=View(devices=(device(result=0, free=130 * GIB),))), Level.COOPERATIVE),
        (Outsider(view=View(devices=(device(result=UNAVAILABLE),))), Level.ENFORCED),
        (Outsider(admitted=True), Level.COOPERATIVE),
        (Outsider(view=View(devices=(device(result=OTHER_ERROR),))), None),
        (Outsider(view=View()), None),
        (Outsider(because="cannot start"), None),
    ],
)
def test_a_gpu_alone_is_what_an_outsider_leaves_of_it(dimension, outsider, level) -> None:
    promised = decided(MechanismName.EXCLUSIVE, promised=LOCKED, limit=CARD)
    found = finding(judged(report(), promised, outsider=outsider), dimension)
    assert found.delivered is level
    assert found.ok is (level is not Level.COOPERATIVE), "one that gets in breaks the promise"
    assert (found.trial is Trial.UNTRIED) is (level is None)
    less = decided(MechanismName.EXCLUSIVE, promised=OPEN, limit=CARD)
    assert judged(report(), less, outsider=outsider).ok, "less was promised"


def test_a_program_of_the_share_that_has_the_locked_gpu_is_no_failure() -> None:
    busy = report(device(result=UNAVAILABLE, attempts=()))
    promised = decided(MechanismName.EXCLUSIVE, promised=LOCKED, limit=CARD)
    refused = Outsider(view=View(devices=(device(result=UNAVAILABLE),)))
    found = judged(busy, promised, outsider=refused)
    assert found.ok
    assert finding(found, "memory").delivered is Level.ENFORCED


def test_a_part_of_a_gpu_alone_is_held_by_its_limit_only() -> None:
    part = decided(MechanismName.EXCLUSIVE, MechanismName.GUARD, limit=LIMIT)
    assert "paths refuse" in finding(judged(report(), part), "memory").evidence


FILLED = (Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(LIMIT - GIB), result=2),)
FOUR = "four processes"


def crowd(held: int, points: int | None = None) -> Escape:
    attempt = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=0)
    view = View(devices=(device(attempts=(attempt,), compute=points),))
    return Escape(name=FOUR, processes=(view,) * 4)


@pytest.mark.parametrize(("each", "ok"), [(LIMIT // 4, True), (LIMIT // 2, False)])
def test_a_limit_of_each_process_is_no_limit_of_the_share(each: int, *, ok: bool) -> None:
    found = judged(report(device(attempts=FILLED), escapes=(outside(), crowd(each))), idle=True)
    assert found.ok is ok
    result = attack(finding(found, "memory"), FOUR).result
    assert result is (AttackResult.HELD if ok else AttackResult.THROUGH)


@pytest.mark.parametrize(
    ("by", "each", "result"),
    [
        (MechanismName.TIMESLICE, 700, AttackResult.HELD),
        (MechanismName.TIMESLICE, 1850, AttackResult.UNTRIED),  # not at the same time
        (MechanismName.TIMESLICE, 2500, AttackResult.THROUGH),
        # Under MPS kernels of several processes run at the same time, in the turn of the share.
        (MechanismName.MPS, 2500, AttackResult.HELD),
        (MechanismName.MPS, 9700, AttackResult.THROUGH),
    ],
)
def test_four_processes_get_the_time_of_one_share(by, each: int, result: AttackResult) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(by, MechanismName.GUARD, promised=promised, compute=25)
    seen = report(device(compute=2400), escapes=(outside(), crowd(0, each)))
    found = judged(seen, quarter)
    assert found.ok is (result is not AttackResult.THROUGH)
    assert attack(finding(found, "compute"), FOUR).result is result


def trick(name: str, refused: str = "", points: int | None = None) -> Escape:
    view = View(devices=(device(attempts=(), compute=points),), refused=refused)
    return Escape(name=name, view=view, work=True)


@pytest.mark.parametrize(
    ("escape", "result", "level"),
    [
        (trick("wfi", points=2500), AttackResult.HELD, Level.ENFORCED),
        (trick("wfi", points=9900), AttackResult.THROUGH, Level.COOPERATIVE),
        (trick("wfi", refused="no channel"), AttackResult.UNTRIED, Level.ENFORCED),
    ],
)
def test_a_way_around_a_limit_lowers_its_level_to_what_honest_programs_keep(
    escape: Escape, result: AttackResult, level: Level
) -> None:
    cooperative = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    seen = report(device(compute=2400), escapes=(outside(), escape))
    for promised in (Level.COOPERATIVE, Level.ENFORCED):
        strict = msgspec.structs.replace(cooperative, compute=promised)
        quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=strict, compute=25)
        found = finding(judged(seen, quarter), "compute")
        assert attack(found, "wfi").result is result
        if level is Level.COOPERATIVE:
            assert found.ok is (promised is Level.COOPERATIVE)
    memory = finding(judged(seen, quarter), "memory")
    assert "wfi" not in {one.name for one in memory.attacks}, "it is about work only"


def attack(found: Finding, name: str) -> Attack:
    return next(one for one in found.attacks if one.name == name)


# A busy host starts work late, which says nothing about the limit.
@pytest.mark.parametrize(("points", "ok"), [(0, False), (1, True), (1300, True)])
def test_a_limit_that_gives_nothing_on_an_idle_gpu_is_broken(points: int, *, ok: bool) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    assert judged(report(device(compute=points, attempts=FILLED)), quarter, idle=True).ok is ok


def test_nothing_next_to_busy_neighbours_could_not_be_tried() -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    quarter = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=25)
    found = judged(report(device(compute=0)), quarter)
    assert found.ok
    assert finding(found, "compute").trial is Trial.UNTRIED


@pytest.mark.parametrize(
    ("held", "used", "ok"),
    [(LIMIT - GIB, 0, True), (MIB, 0, False), (MIB, CARD - GIB, True)],
)
def test_memory_that_an_idle_share_does_not_get_is_no_guarantee(held, used, *, ok: bool) -> None:
    filled = Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(held), result=2)
    seen = report(device(attempts=(filled,)))
    assert judged(seen, None, card(used=used), idle=True).ok is ok
    assert judged(seen, None, card(used=used)).ok, "its own programs may have the rest"


def test_an_idle_share_that_refuses_even_a_context_gives_nothing() -> None:
    full = report(device(result=OUT_OF_MEMORY, free=0, attempts=()))
    assert not judged(full, idle=True).ok
    assert judged(full).ok


@pytest.mark.parametrize(
    ("kept", "ok"), [(None, True), (40.4, True), (30.0, True), (29.0, False), (0.0, False)]
)
def test_a_guarantee_that_a_busy_neighbour_takes_is_broken(kept: float | None, *, ok: bool) -> None:
    promised = Enforcement(memory=Level.COOPERATIVE, compute=Level.COOPERATIVE)
    part = decided(MechanismName.TIMESLICE, MechanismName.GUARD, promised=promised, compute=40)
    seen = report(device(compute=3900, attempts=FILLED))
    found = judged(seen, part, idle=True, contested={} if kept is None else {GPU: kept})
    assert found.ok is ok
    evidence = finding(found, "compute").evidence
    assert (kept is not None) is ("next to a program that wants all" in evidence)
