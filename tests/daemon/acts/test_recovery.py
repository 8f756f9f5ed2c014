# SPDX-License-Identifier: Apache-2.0
"""An interrupted act that can be neither finished nor undone ends in a state that people can clear.

For every act and for errors of every kind: attempts are few, the share is shown as damaged, keeps
its room, ends with `gpushare rm` with everything of it released that can be, and heals when the
machine does.
"""

import asyncio

import pytest

from gpushare.model.errors import ConflictError, HardwareError, RegionCorruptError
from gpushare.model.share import State
from gpushare.model.spec import ComputeAsk
from gpushare.model.view import (
    EnterRequest,
    MigrateRequest,
    ResumeRequest,
    SuspendRequest,
    UpdateRequest,
)
from gpushare.store import Act
from support.world.session import ME, DaemonSession, session
from support.world.world import World, crash_at, make_world

ATTEMPTS = 5


class ForeignError(Exception):
    """An error of a library that no code of ours expects."""


ERRORS = (
    RegionCorruptError("it is no region", "it has version 2, not 3"),
    HardwareError("the tool failed"),
    OSError(30, "read-only file system"),
    KeyError("missing"),
    AssertionError(),
    ForeignError(),
)


async def grant(daemon: DaemonSession) -> None:
    await daemon.create(50, name="torn", ttl=100000)


async def running(daemon: DaemonSession) -> None:
    await daemon.run(50, name="torn", ttl=100000)


async def release(daemon: DaemonSession) -> None:
    await grant(daemon)
    await daemon.service.remove("torn", ME)


async def suspend(daemon: DaemonSession) -> None:
    await running(daemon)
    await daemon.service.suspend("torn", SuspendRequest(), ME)


async def resume(daemon: DaemonSession) -> None:
    await suspend(daemon)
    await daemon.service.resume("torn", ResumeRequest(), ME)


async def adjust(daemon: DaemonSession) -> None:
    await running(daemon)
    await daemon.service.update("torn", UpdateRequest(compute=ComputeAsk(limit=40)), ME)


async def migrate(daemon: DaemonSession) -> None:
    await running(daemon)
    await daemon.service.migrate("torn", MigrateRequest(), ME)


async def reassign(daemon: DaemonSession) -> None:
    await running(daemon)
    await daemon.service.suspend("torn", SuspendRequest(deep=True), ME)
    await daemon.service.migrate("torn", MigrateRequest(), ME)


async def reclaim(daemon: DaemonSession) -> None:
    """The suspension that a policy begins goes through the same journal."""
    await running(daemon)
    share = daemon.store.shares.named(ME.uid, "torn")
    await daemon.parts.suspending.suspend(share, "memory", 5.0, "reclaim")


ACTS = {
    Act.GRANT: ("grant written", grant),
    Act.RELEASE: ("release written", release),
    Act.SUSPEND: ("suspend written", suspend),
    Act.RESUME: ("resume written", resume),
    Act.ADJUST: ("adjust written", adjust),
    Act.MIGRATE: ("migrate left", migrate),
    "reassign": ("migrate written", reassign),
    "reclaim": ("suspend written", reclaim),
}


def failing(world: World, error: Exception) -> list[int]:
    """From now on mechanisms raise it; a list that grows with each attempt."""
    tried: list[int] = []

    def trouble() -> None:
        tried.append(len(tried))
        raise error

    world.trouble = trouble
    return tried


async def interrupted(world: World, state, act) -> None:
    """A daemon dies while the act runs."""
    step, story = ACTS[act]
    with session(world, state, crash_at(step)) as daemon:
        await daemon.reconcile()
        try:
            await story(daemon)
            await daemon.settle()
        except BaseException:  # noqa: BLE001 (the crash, or what a caller sees of it)
            assert daemon.crash is not None, "the act was not interrupted"


async def damaged(daemon: DaemonSession) -> None:
    """Passes until the share is damaged."""
    await daemon.tick(0.5, times=100)
    assert await daemon.state("torn") == "damaged"


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path / "world", gpus=2)
    yield made
    made.close()


def test_every_act_of_the_journal_is_tried_here():
    assert set(Act) <= set(ACTS)


async def removed(daemon: DaemonSession) -> None:
    """`gpushare rm --force`: programs obey the signals they get, and passes go on."""
    removal = asyncio.create_task(daemon.service.remove("torn", ME, force=True))
    for _ in range(5):
        await asyncio.sleep(0)
        await daemon.tick(12)
        for pid in {pid for pid, _ in daemon.world.signals} & daemon.world.living():
            daemon.world.end(daemon.parts.ports.processes.find(pid))
    assert (await removal).state in {"failed", "released"}


def granted(daemon: DaemonSession, gpu: str) -> int:
    """Memory of all shares on the GPU, as the record has it."""
    shares = [s for s in daemon.store.shares.living() if s.state.holds and not s.aside]
    return sum(grant.request for s in shares for grant in s.decision.grants if grant.gpu == gpu)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_cannot_be_settled_is_shown_keeps_its_room_and_can_be_cleared(
    world, tmp_path, act, error
):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", act)
        tried = failing(world, error)
        with session(world, tmp_path / "state") as daemon:
            await damaged(daemon)
            shown = await daemon.show("torn")
            assert "neither finished nor undone" in shown.reason
            assert "gpushare rm --force torn" in shown.reason
            events = [event.type for event in daemon.store.events.since(0)]
            assert events.count("share.damaged") == 1
            assert (
                'gpushare_shares{state="damaged"} 1' in (await daemon.service.metrics(ME)).decode()
            )
            before = len(tried)
            await daemon.tick(2, times=50)
            assert len(tried) == before, "attempts go on as if nothing had happened"
            with pytest.raises(ConflictError, match="damaged"):
                await daemon.service.wait("torn", [State.RUNNING], 30, ME)
            await removed(daemon)
            assert daemon.store.intents.pending() == []
            assert not world.groups
            world.trouble = lambda: None
            both = [await daemon.create(70, name=name, ttl=60) for name in ("one", "two")]
            assert [share.state for share in both] == ["granted", "granted"]

    asyncio.run(story())


@pytest.mark.parametrize("act", ACTS)
def test_the_room_of_a_damaged_share_is_granted_to_no_other(world, tmp_path, act):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", act)
        failing(world, ERRORS[0])
        with session(world, tmp_path / "state") as daemon:
            await damaged(daemon)
            world.trouble = lambda: None  # for the others only: the next attempt is far away
            for number in range(6):
                await daemon.create(30, name=f"other-{number}", ttl=1000)
            for gpu in world.gpus:
                assert granted(daemon, gpu.uuid) <= gpu.memory_total
            assert await daemon.state("torn") == "damaged"

    asyncio.run(story())


@pytest.mark.parametrize("act", ACTS)
def test_a_share_is_what_it_was_when_the_act_is_settled_after_all(world, tmp_path, act):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", act)
        failing(world, ERRORS[0])
        with session(world, tmp_path / "state") as daemon:
            await damaged(daemon)
        world.trouble = lambda: None
        with session(world, tmp_path / "state") as daemon:
            await daemon.tick(times=3)
            share = daemon.store.shares.named(ME.uid, "torn")
            assert share.state not in {"damaged", "failed"}, share.reason
            assert share.state.ended or share.damage is None
            assert share.reason in {"", "removed"}
            assert daemon.store.intents.pending() == []

    asyncio.run(story())


@pytest.mark.parametrize("act", [Act.SUSPEND, Act.RESUME, Act.ADJUST, Act.MIGRATE])
def test_a_damaged_share_whose_programs_have_ended_ends_by_itself(world, tmp_path, act):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", act)
        failing(world, ERRORS[0])
        with session(world, tmp_path / "state") as daemon:
            await damaged(daemon)
            for pid in list(world.living()):
                world.end(daemon.parts.ports.processes.find(pid))
            await daemon.tick(times=3)
            share = daemon.store.shares.named(ME.uid, "torn")
            assert share.state == "failed"
            assert "neither finished nor undone" in share.reason

    asyncio.run(story())


def test_a_damaged_share_takes_no_program(world, tmp_path):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", Act.SUSPEND)
        failing(world, ERRORS[0])
        with session(world, tmp_path / "state") as daemon:
            await damaged(daemon)
            with pytest.raises(ConflictError, match="neither finished nor undone"):
                await daemon.service.enter("torn", EnterRequest(pid=world.spawn().pid), ME)

    asyncio.run(story())


def test_an_act_of_a_share_that_is_gone_is_given_up(world, tmp_path):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", Act.MIGRATE)
        with session(world, tmp_path / "state") as daemon:
            share = daemon.store.shares.named(ME.uid, "torn")
            daemon.store.shares.move(share.id, State.FAILED)
            failing(world, ERRORS[0])
            await daemon.tick(0.5, times=100)
            assert daemon.store.intents.pending() == []

    asyncio.run(story())


def test_an_act_that_fails_twice_and_then_not_leaves_no_mark(world, tmp_path):
    async def story() -> None:
        await interrupted(world, tmp_path / "state", Act.SUSPEND)
        tried = failing(world, ERRORS[0])
        with session(world, tmp_path / "state") as daemon:
            while len(tried) < ATTEMPTS - 1:
                await daemon.tick(0.5)
            world.trouble = lambda: None
            await daemon.tick(60, times=2)
            assert await daemon.state("torn") == "running"
            events = [event.type for event in daemon.store.events.since(0)]
            assert "share.damaged" not in events

    asyncio.run(story())
