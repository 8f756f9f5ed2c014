# SPDX-License-Identifier: Apache-2.0
"""What goes wrong: mechanisms, promises, GPUs, disks."""

from datetime import UTC, datetime

import pytest

from gpushare.hardware.ports import Xid
from gpushare.model.errors import (
    GpushareError,
    MpsStuckError,
    NotEnforcedError,
)
from gpushare.model.ids import GpuId
from gpushare.model.share import Finding, Level, State, Verification
from support.world.session import ME, live
from support.world.world import stuck

BROKEN = Verification(
    at=datetime(2026, 11, 23, tzinfo=UTC),
    ok=False,
    findings=(
        Finding(
            dimension="memory",
            promised=Level.COOPERATIVE,
            delivered=Level.NONE,
            evidence="got 6 GiB of 4",
        ),
    ),
)


def test_a_mechanism_that_fails_fails_the_share_and_is_undone(world, state):
    async def story(daemon):
        calls = []

        def once() -> None:
            calls.append(1)
            if len(calls) == 2:
                stuck()

        world.trouble = once
        with pytest.raises(MpsStuckError):
            await daemon.create(8)
        assert not world.made
        failed = (await daemon.service.shares(ME, ended=True))[0]
        assert failed.state is State.FAILED
        assert "does not answer" in failed.reason

    live(world, state, story)


def test_a_release_that_fails_is_tried_again(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        world.trouble = stuck
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        assert daemon.core.failed_passes == 1
        world.trouble = lambda: None
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert not world.made

    live(world, state, story)


def test_a_mistake_of_ours_in_a_pass_does_not_end_the_daemon(world, state):
    def mistake():
        raise ZeroDivisionError

    async def story(daemon):
        share, process = await daemon.run(8)
        world.end(process)
        world.trouble = mistake
        await daemon.tick()
        assert daemon.core.failed_passes == 1
        world.trouble = lambda: None
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_stack_is_proved_once_a_boot(world, state):
    async def story(daemon):
        first = await daemon.create(1)
        await daemon.create(1)
        assert world.probed == [("timeslice", "guard")]
        assert first.verified.ok
        await daemon.create(1, gpus=1, mechanism=None, isolation="any", labels={"a": "b"})
        assert len(world.probed) == 1

    live(world, state, story)
    world.boot = "boot-2"

    async def later(daemon):
        await daemon.create(1)
        assert len(world.probed) == 2

    live(world, state, later)


def test_a_broken_promise_is_refused_unless_allowed(world, state):
    world.proof = BROKEN

    async def story(daemon):
        with pytest.raises(NotEnforcedError, match="does not keep its promise") as caught:
            await daemon.create(8)
        assert "got 6 GiB of 4" in caught.value.because
        assert caught.value.exit_code == 7
        assert not world.made
        allowed = await daemon.create(8, allow_unverified=True)
        assert allowed.state is State.GRANTED
        assert not allowed.verified.ok

    live(world, state, story)


def test_a_lost_gpu_fails_its_shares_when_their_programs_end(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        world.lose(0)
        await daemon.tick()
        hit = await daemon.show(share.id)
        assert (hit.state, hit.reason) == (State.RUNNING, "a GPU of the share is lost")
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.FAILED
        kinds = [event.type for event in daemon.store.events.since(0)]
        assert "gpu.lost" in kinds
        assert "share.fault" in kinds

    live(world, state, story)


@pytest.mark.parametrize("compute", [40, 100], ids=["mps", "timeslice"])
@pytest.mark.parametrize(
    ("code", "reaches"), [(31, {40}), (79, {40, 100}), (45, set()), (63, set())]
)
def test_an_xid_is_reported_to_those_it_reaches(world, state, code, reaches, compute):
    async def story(daemon):
        share, _ = await daemon.run(8, compute=compute)
        daemon.parts.faults.notice_xid(Xid(gpu=GpuId("GPU-0"), code=code))
        told = (await daemon.show(share.id)).reason
        assert ("Xid" in told) == (compute in reaches)

    live(world, state, story)


def test_a_fault_of_the_mechanism_is_reported_once(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        world.fault = "the MPS server is in FAULT"
        await daemon.tick()
        await daemon.tick()
        assert (await daemon.show(share.id)).reason == "the MPS server is in FAULT"
        faults = [e for e in daemon.store.events.since(0) if e.type == "share.fault"]
        assert len(faults) == 1

    live(world, state, story)


async def fill(daemon):
    for _ in range(200):
        await daemon.create(1, labels={f"pad{n}": "x" * 250 for n in range(12)})


def test_a_full_disk_stops_changes_and_loses_nothing(disk, world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        disk.fill()
        with pytest.raises(GpushareError, match="cannot write"):
            await fill(daemon)
        disk.free()
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        made = {identity for _, identity in world.made}
        held = {s.id for s in await daemon.service.shares(ME) if s.state.holds}
        assert made == held
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)
