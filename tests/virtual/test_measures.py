# SPDX-License-Identifier: Apache-2.0
"""What a course of events comes to, on figures that can be computed by hand."""

import pytest

from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes
from gpushare.virtual.courses import Course, Job, TimeOnGpus
from gpushare.virtual.measures import dues, jain, measures, spread

ONE = Machine(gpus=(Gpu(uuid=GpuId("GPU-0"), index=0, name="x", memory_total=Bytes(100 * GIB)),))
HALF = Bytes(50 * GIB)


def course(tenant: str, at: float, *stays: tuple[float, float], ended: float | None) -> Course:
    """A job of half a GPU, that computes on half of it."""
    job = Job(
        id=ShareId(f"{tenant}-{at}"),
        tenant=Tenant(tenant),
        at=at,
        spec=ShareSpec(memory=MemoryAsk(limit=HALF)),
        runs=10,
        need=0.5,
        used=Bytes(25 * GIB),
        size=0.5,
    )
    made = [TimeOnGpus(begin=b, end=e, speed=1.0, memory=HALF, compute=0.5) for b, e in stays]
    return Course(job=job, stays=tuple(made), ended=ended)


def test_jain_is_one_for_equal_parts_and_one_nth_for_one_of_n() -> None:
    assert jain([0.7, 0.7, 0.7]) == pytest.approx(1.0)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([]) == jain([0.0, 0.0]) == 1.0


def test_dues_are_guarantees_first_then_weights_and_never_more_than_wanted() -> None:
    a, b, c = Tenant("a"), Tenant("b"), Tenant("c")
    policy = Policy(tenants={a: TenantSpec(), b: TenantSpec(weight=3), c: TenantSpec()})
    found = dues(4.0, {a: 4.0, b: 4.0, c: 0.5}, {c: 1.0}, policy)
    assert found == {a: pytest.approx(0.875), b: pytest.approx(2.625), c: 0.5}
    assert dues(4.0, {a: 1.0, b: 2.0}, {}, policy) == {a: 1.0, b: 2.0}


def test_waits_use_and_satisfaction_of_two_tenants() -> None:
    first = course("a", 0, (0, 10), ended=10)
    second = course("b", 0, (10, 20), ended=20)  # it could have run at once
    found = measures([first, second], ONE, Policy(), 20)
    assert (found.wait.mean, found.wait.p95) == (5, 10)
    assert found.slowdown.mean == pytest.approx(1.5)
    assert found.compute_used == pytest.approx(0.5 * 20 / 20)
    assert found.memory_granted == pytest.approx(0.5)
    assert found.memory_used == pytest.approx(0.25)
    assert found.worst == pytest.approx(0.5)  # it was due half a GPU for 20 s and had it for 10
    assert found.jain == pytest.approx(1.5**2 / (2 * 1.25))


def test_what_nobody_else_wanted_does_no_harm() -> None:
    alone = course("a", 0, (0, 10), ended=10)
    later = course("b", 10, (10, 20), ended=20)
    owed = Policy(tenants={Tenant("b"): TenantSpec(guaranteed=Amount(memory=HALF))})
    assert measures([alone, later], ONE, owed, 20).jain == pytest.approx(1.0)


def test_a_job_without_a_place_waits_until_the_end() -> None:
    found = measures([course("a", 5, ended=None)], ONE, Policy(), 20)
    assert (found.placed, found.waiting, found.wait.mean) == (0, 1, 15)


def test_a_spread_of_nothing_is_nothing() -> None:
    assert spread([]).mean == 0.0
    assert spread([3.0, 1.0, 2.0]).median == 2.0


def test_more_than_its_due_does_not_count_for_a_tenant() -> None:
    both = [course("a", at, (0, 10), ended=10) for at in (0, 0.0)]
    found = measures([*both, course("b", 0, (10, 20), ended=20)], ONE, Policy(), 20)
    # a held the whole GPU while half of it was due to b: satisfied in full, not twice.
    assert found.worst == pytest.approx(0.5)
    assert found.jain == pytest.approx(1.5**2 / (2 * 1.25))
