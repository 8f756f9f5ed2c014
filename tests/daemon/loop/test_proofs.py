# SPDX-License-Identifier: Apache-2.0
"""Living shares are proved again: when, by what, and what a failure does."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.loop.proofs import Proofs
from gpushare.model.errors import HardwareError
from gpushare.model.escape import EscapeCause, EscapeKind, EscapePeriod
from gpushare.model.ids import ShareId
from gpushare.model.share import ProofCheck, Share, State
from gpushare.store import Store
from support.shares import GPU, share
from support.world.world import WorldClock

INTERVAL = 300.0
HELD, CHANGED = (
    ProofCheck(name="region", ok=True),
    ProofCheck(name="region", ok=False, evidence="?"),
)


@dataclass
class Machine:
    """Mechanisms that answer what a test says, and note which shares they were asked about."""

    check: ProofCheck = HELD
    error: HardwareError | None = None
    asked: list[ShareId] = field(default_factory=list)
    busy: set[ShareId] = field(default_factory=set)
    clock: WorldClock = field(default_factory=WorldClock)

    def prove(self, about: Share) -> tuple[ProofCheck, ...]:
        self.asked.append(about.id)
        if self.error is not None:
            raise self.error
        return (self.check,)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def proofs(store: Store, machine: Machine, interval: float = INTERVAL) -> Proofs:
    ports = SimpleNamespace(mechanisms=machine, clock=machine.clock)
    executor = SimpleNamespace(busy=lambda: machine.busy)
    return Proofs(store, ports, Bus(store, machine.clock), executor, lambda: interval)


def living(store: Store, name: str, **changes: object) -> ShareId:
    one = replace(share(id=f"{name}{name}{name}{name}"[:12].ljust(12, "0")), name=name, **changes)
    store.shares.add(one)
    return one.id


def events(store: Store) -> list[str]:
    return [event.type for event in store.events.since(0)]


def passes(made: Proofs, count: int = 1) -> None:
    for _ in range(count):
        asyncio.run(made.run())


def test_each_pass_proves_one_share_and_the_longest_unproven_first(store, machine) -> None:
    one, other = living(store, "a"), living(store, "b")
    made = proofs(store, machine)
    passes(made)
    assert machine.asked == [one]
    machine.clock.pass_by(1)
    passes(made, 3)
    assert machine.asked == [one, other], "both are proved, and not again so soon"
    machine.clock.pass_by(INTERVAL)
    passes(made, 3)
    assert machine.asked == [one, other, one, other]
    assert store.shares.get(one).proof.at == machine.clock.now()


def test_zero_is_never(store, machine) -> None:
    living(store, "a")
    passes(proofs(store, machine, 0))
    assert machine.asked == []


def test_a_share_that_changes_or_has_ended_is_not_proved(store, machine) -> None:
    machine.busy = {living(store, "a")}
    living(store, "b", state=State.QUEUED)
    living(store, "c", state=State.RELEASED)
    passes(proofs(store, machine), 3)
    assert machine.asked == []


def test_a_share_that_ends_meanwhile_keeps_its_record(store, machine) -> None:
    one = living(store, "a")
    machine.prove = lambda _: (machine.busy.add(one), (HELD,))[1]
    passes(proofs(store, machine))
    assert store.shares.get(one).proof is None


def test_a_failure_is_reported_once_and_again_after_it_had_passed(store, machine) -> None:
    one, made = living(store, "a"), proofs(store, machine)
    for check in (CHANGED, CHANGED, HELD, CHANGED):
        machine.check = check
        machine.clock.pass_by(INTERVAL)
        passes(made)
        assert store.shares.get(one).proof.ok is (check is HELD)
    assert events(store).count("share.proof_failed") == 2


def test_what_cannot_be_read_is_no_failure(store, machine) -> None:
    one = living(store, "a")
    machine.error = HardwareError("the driver does not answer")
    passes(proofs(store, machine))
    proof = store.shares.get(one).proof
    assert proof.ok
    assert [check.ok for check in proof.checks] == [None]
    assert events(store) == []


def test_an_escape_that_lasts_is_part_of_the_proof(store, machine) -> None:
    cause = EscapeCause(kind=EscapeKind.NO_GUARD, gpu=GPU, pid=7)
    period = EscapePeriod(since=machine.clock.now(), causes=(cause,))
    one = living(store, "a", escape=period)
    passes(proofs(store, machine))
    assert "without the guard" in store.shares.get(one).proof.text
    over = replace(period, until=machine.clock.now() + timedelta(seconds=1))
    store.shares.update(one, escape=over)
    machine.clock.pass_by(INTERVAL)
    passes(proofs(store, machine))
    assert store.shares.get(one).proof.ok
