# SPDX-License-Identifier: Apache-2.0
"""The scheduler in virtual time: what is granted, taken back and given back, and how fast it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Amount, Policy, Rung, TenantSpec
from gpushare.model.share import Decision
from gpushare.model.spec import ComputeAsk, GpuGrant, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent, Seconds
from gpushare.virtual.courses import Course, Job
from gpushare.virtual.engine import Costs, Engine
from gpushare.virtual.speeds import Demand, speeds

STACK = (MechanismName.EXCLUSIVE, MechanismName.TIMESLICE, MechanismName.GUARD)
PROMISES = (Exclusive.promise, Timeslice.promise, Guard.promise)
NO_TENANTS, USUAL = Policy(), Costs()
OWNER = TenantSpec(guaranteed=Amount(memory=Bytes(100 * GIB)))
POLICY = Policy(
    tenants={Tenant("owner"): OWNER, Tenant("guest"): TenantSpec()}, min_runtime=Seconds(0)
)


def machine(gpus: int = 1) -> Machine:
    return Machine(
        gpus=tuple(
            Gpu(uuid=GpuId(f"GPU-{n}"), index=n, name="x", memory_total=Bytes(140 * GIB))
            for n in range(gpus)
        ),
        capabilities=tuple(Capability(mechanism=name, available=True) for name in STACK),
    )


def job(number: int, gib: int, at: float = 0, runs: float = 10, **more: Any) -> Job:
    tenant = Tenant(more.pop("tenant", "guest"))
    spec = ShareSpec(memory=MemoryAsk(limit=Bytes(gib * GIB)), **more.pop("spec", {}))
    return Job(id=ShareId(f"{number:012x}"), tenant=tenant, at=at, spec=spec, runs=runs, **more)


def run(
    *jobs: Job, policy: Policy = NO_TENANTS, gpus: int = 1, costs: Costs = USUAL
) -> list[Course]:
    return Engine(machine(gpus), PROMISES, policy, costs).run(jobs, 1000)


def test_shares_that_fit_run_at_once_and_others_wait_for_room() -> None:
    first, second, third = run(job(1, 80, runs=30), job(2, 60, at=1), job(3, 100, at=2))
    assert (first.granted, second.granted) == (0, 1)
    assert (third.granted, third.ended) == (30, 40)


def test_a_guarantee_takes_room_back_and_gives_it_back() -> None:
    one, two, owner = run(
        job(1, 60, runs=50), job(2, 60, runs=50), job(3, 90, at=5, runs=20, tenant="owner"),
        policy=POLICY,
    )  # fmt: skip
    assert (one.suspended, two.suspended) == (1, 1)
    assert (owner.granted, owner.ended) == (5, 25)
    assert one.ended == two.ended == 70
    assert [(stay.begin, stay.end) for stay in one.stays] == [(0, 5), (25, 70)]


def test_moving_memory_takes_time_for_the_owner_and_for_the_borrower() -> None:
    guest = job(1, 100, runs=50, used=Bytes(100 * GIB))
    owner = job(2, 90, at=5, runs=20, tenant="owner")
    moved, asked = run(guest, owner, policy=POLICY, costs=Costs(bandwidth=50 * GIB))
    assert asked.granted == 7
    assert moved.ended == 5 + 2 + 20 + 2 + 45


def test_what_cannot_be_suspended_is_ended_and_starts_again_from_its_checkpoint() -> None:
    guest = job(1, 100, runs=50, moves=False, restarts=True, checkpoint=4.0)
    owner = job(2, 90, at=5, runs=20, tenant="owner")
    ended, _ = run(guest, owner, policy=POLICY, costs=Costs(end=10.0))
    assert ended.evicted == 1
    assert ended.lost == pytest.approx(15 % 4)
    assert ended.ended == pytest.approx(15 + 20 + 50 - 12)


def test_without_the_ladder_nothing_is_taken_back() -> None:
    kept = Policy(tenants=POLICY.tenants, min_runtime=Seconds(0), ladder=())
    guest, owner = run(job(1, 100, runs=50), job(2, 90, at=5, runs=20, tenant="owner"), policy=kept)
    assert (guest.suspended, guest.ended, owner.granted) == (0, 50, 50)


def test_a_share_runs_for_min_runtime_before_it_is_taken_back() -> None:
    policy = Policy(tenants=POLICY.tenants, min_runtime=Seconds(60), ladder=(Rung.SUSPEND,))
    guest, owner = run(
        job(1, 100, runs=500), job(2, 90, at=5, runs=20, tenant="owner"), policy=policy
    )
    assert (guest.suspended, owner.granted) == (1, 60)


def test_what_can_never_be_placed_is_refused_and_what_gives_up_leaves() -> None:
    large, first, waits = run(job(1, 900), job(2, 100, runs=50), job(3, 100, at=1, patience=9.0))
    assert large.refused
    assert first.ended == 50
    assert (waits.granted, waits.left) == (None, 10)


def grant(limit: int, request: int) -> GpuGrant:
    return GpuGrant(
        gpu=GpuId("GPU-0"),
        limit=Bytes(GIB),
        request=Bytes(GIB),
        compute=Percent(limit),
        compute_request=Percent(request),
    )


def test_programs_share_the_compute_that_is_not_guaranteed() -> None:
    demands = [
        Demand(id=ShareId("a"), need=0.8, grants=(grant(60, 60),)),
        Demand(id=ShareId("b"), need=0.8, grants=(grant(100, 0),)),
        Demand(id=ShareId("c"), need=0.1, grants=(grant(100, 0),)),
    ]
    found = speeds(demands, 0.0)
    assert found["a"] == pytest.approx(0.6 / 0.8)
    assert found["c"] == 1.0
    assert found["b"] == pytest.approx(0.3 / 0.8)
    assert speeds(demands[:1], 0.03)["a"] == pytest.approx(0.75)


jobs = st.lists(
    st.builds(
        lambda gib, at, runs, tenant, compute: {
            "gib": gib, "at": at, "runs": runs, "tenant": tenant,
            "spec": {"compute": ComputeAsk(limit=Percent(compute))},
        },
        st.integers(1, 140), st.integers(0, 100), st.integers(1, 100),
        st.sampled_from(["owner", "guest", "other"]), st.integers(1, 100),
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=25)
@given(jobs, st.integers(1, 2))
def test_no_gpu_is_given_twice_and_all_work_is_done(asked: list[dict[str, Any]], gpus: int) -> None:
    made = [job(number, **it) for number, it in enumerate(asked)]
    courses = run(*made, policy=POLICY, gpus=gpus)
    times = sorted({at for it in courses for stay in it.stays for at in (stay.begin, stay.end)})
    for at in times:
        there = [s for it in courses for s in it.stays if s.begin <= at < s.end]
        assert sum(stay.memory for stay in there) <= gpus * 140 * GIB
        assert sum(stay.compute for stay in there) <= gpus + 1e-9
    for it in courses:
        if it.ended is not None and not it.evicted:
            done = sum((stay.end - stay.begin) * stay.speed for stay in it.stays)
            assert done == pytest.approx(it.job.runs)


def test_a_decision_is_kept_for_comparison() -> None:
    (course,) = run(job(1, 10))
    assert isinstance(course.first, Decision)
    assert course.first.gpus == (GpuId("GPU-0"),)
