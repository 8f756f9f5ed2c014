# SPDX-License-Identifier: Apache-2.0
"""What is left behind: found, and ended only when asked."""

import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpushare.daemon.services.leftovers import daemons
from gpushare.hardware.linux.residents import MpsResident, Resident
from gpushare.model.errors import RoleError, UsageError
from gpushare.model.leftover import CleanRequest, Kind, Leftover, Outcome
from gpushare.model.share import ProcessRef
from gpushare.model.units import GIB
from support.world.session import ME, STRANGER, live

FILE = Leftover(kind=Kind.REGION, name="/run/x/regions/a", why="share a no longer exists")
GROUP = Leftover(kind=Kind.GROUP, name="/sys/x/a", why="share a no longer exists")


def defunct(world, process: ProcessRef) -> None:
    stat = world.root / "proc" / str(process.pid) / "stat"
    stat.write_text(stat.read_text().replace(") S ", ") Z "))


def test_who_has_gpu_memory_outside_every_share_is_named(world, state):
    async def story(daemon):
        _, mine = await daemon.run(8)
        world.occupy(mine, 2)
        stranger = world.spawn(uid=4242)
        world.occupy(stranger, 3)
        (found,) = await daemon.service.leftovers.all(ME)
        assert (found.kind, found.process, found.ours) == (Kind.PROCESS, stranger, False)
        assert (found.memory, found.command, found.user) == (3 * GIB, "a (b) c", "4242")
        assert found.gpus == ("GPU-0",)

    live(world, state, story)


@pytest.mark.parametrize("with_cgroups", [True, False])
def test_a_child_that_no_pass_has_seen_yet_is_the_shares(world, state, with_cgroups):
    world.with_cgroups = with_cgroups

    async def story(daemon):
        _, mine = await daemon.run(8)
        child = world.spawn(world.spawn(mine.pid).pid)
        world.occupy(child, 2)
        world.end(mine)
        assert await daemon.service.leftovers.all(ME) == []

    live(world, state, story)


def test_a_mark_in_the_environment_hides_no_other_users_process(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        world.occupy(world.spawn(environ={"GPUSHARE_SHARE": share.id}, uid=4242), 2)
        (found,) = await daemon.service.leftovers.all(ME)
        assert found.kind is Kind.PROCESS

    live(world, state, story)


def test_memory_of_processes_that_have_ended_is_reported_and_cannot_be_ended(world, state):
    async def story(daemon):
        gone, zombie = world.spawn(), world.spawn(parent=1)
        for process in (gone, zombie):
            world.occupy(process, 1)
        world.end(gone)
        defunct(world, zombie)
        first, second = await daemon.service.leftovers.all(ME)
        assert first.kind is second.kind is Kind.CONTEXT
        assert "the driver still lists" in first.why
        assert "parent, process 1" in second.why
        wanted = CleanRequest(processes=(zombie,), dry_run=False)
        with pytest.raises(UsageError):
            await daemon.service.leftovers.clean(wanted, ME)

    live(world, state, story)


def test_nothing_is_touched_unless_asked(world, state):
    world.remains.left = [FILE, GROUP]

    async def story(daemon):
        found = await daemon.service.leftovers.clean(CleanRequest(), ME)
        assert [one.outcome for one in found] == [Outcome.WOULD] * 2
        assert world.remains.left == [FILE, GROUP]

    live(world, state, story)


def test_what_is_ours_goes_and_what_must_stay_says_why(world, state):
    world.remains.left = [FILE, GROUP]
    world.remains.stuck = {GROUP.name}

    async def story(daemon):
        world.occupy(world.spawn(), 1)
        request = CleanRequest(dry_run=False)
        done = {d.leftover.name: d for d in await daemon.service.leftovers.clean(request, ME)}
        assert done[FILE.name].outcome is Outcome.DONE
        assert done[GROUP.name].outcome is Outcome.KEPT
        assert "end them first" in done[GROUP.name].because
        assert len(done) == 2, "a process of another user was not named"
        assert not world.signals
        told = [e.message for e in daemon.store.events.since(0) if e.type == "leftover.cleaned"]
        assert told[0] == f"region {FILE.name}: done"

    live(world, state, story)


def test_kinds_choose(world, state):
    world.remains.left = [FILE, GROUP]

    async def story(daemon):
        request = CleanRequest(kinds=(Kind.GROUP,), dry_run=False)
        (done,) = await daemon.service.leftovers.clean(request, ME)
        assert done.leftover == GROUP
        assert world.remains.left == [FILE]

    live(world, state, story)


def test_a_named_process_is_asked_then_killed(world, state):
    world.remains.left = [FILE]

    async def story(daemon):
        stranger = world.spawn()
        world.occupy(stranger, 1)
        asked = CleanRequest(processes=(stranger,), dry_run=False)
        (done,) = await daemon.service.leftovers.clean(asked, ME)
        assert done.outcome is Outcome.ASKED
        (done,) = await daemon.service.leftovers.clean(replace(asked, force=True), ME)
        assert done.outcome is Outcome.DONE
        assert world.signals == [
            (stranger.pid, signal.SIGTERM),
            (stranger.pid, signal.SIGKILL),
        ]
        assert world.remains.left == [FILE], "naming a process chooses nothing else"

    live(world, state, story)


def test_a_later_process_of_the_same_pid_is_not_the_one_that_was_named(world, state):
    async def story(daemon):
        stranger = world.spawn()
        world.occupy(stranger, 1)
        world.end(stranger)
        world.spawn(pid=stranger.pid)
        request = CleanRequest(processes=(stranger,), dry_run=False)
        with pytest.raises(UsageError, match="no leftover"):
            await daemon.service.leftovers.clean(request, ME)
        assert not world.signals

    live(world, state, story)


def test_a_member_of_a_share_cannot_be_named(world, state):
    world.remains.left = [FILE]

    async def story(daemon):
        _, mine = await daemon.run(8)
        world.occupy(mine, 1)
        with pytest.raises(UsageError):
            await daemon.service.leftovers.clean(
                CleanRequest(kinds=(Kind.REGION,), processes=(mine,), dry_run=False), ME
            )
        assert world.remains.left == [FILE], "nothing is done when something is wrong"

    live(world, state, story)


def test_leftovers_are_compared_with_the_state(world, state):
    async def story(daemon):
        await daemon.create(8, name="old")
        await daemon.service.remove("old", ME)
        share = await daemon.create(8, name="new")
        await daemon.service.leftovers.all(ME)
        known = world.remains.asked[-1]
        assert known.living == {share.id}
        assert len(known.ended) == 1
        assert known.users == {ME.uid}

    live(world, state, story)


def test_leftovers_and_profiles_are_for_operators(world, state):
    async def story(daemon):
        service = daemon.service
        with pytest.raises(RoleError):
            await service.leftovers.all(STRANGER)
        with pytest.raises(RoleError):
            await service.leftovers.clean(CleanRequest(dry_run=False), STRANGER)
        with pytest.raises(RoleError):
            await service.profiles.all(STRANGER)
        with pytest.raises(RoleError):
            await service.profiles.runs(STRANGER)

    live(world, state, story)


MPS = Path("/run/gpushare/mps")


def resident(
    pid: int, *, server: bool, pipe: Path | None, parent: int = 1, uid: int | None = None
) -> MpsResident:
    who = Resident(
        process=ProcessRef(pid=pid, started=pid),
        parent=parent,
        uid=os.geteuid() if uid is None else uid,
        name="nvidia-cuda-mps",
    )
    return MpsResident(resident=who, server=server, pipe=pipe)


def test_mps_of_others_is_listed_and_orphans_are_distinguished():
    home = MPS / "GPU-0/pipe"
    found = {
        one.process.pid: one
        for one in daemons(
            [
                resident(1, server=False, pipe=home),
                resident(2, server=True, pipe=home, parent=1),
                resident(3, server=False, pipe=MPS / "GPU-9/pipe"),
                resident(4, server=True, pipe=MPS / "GPU-9/pipe", parent=99),
                resident(5, server=False, pipe=Path("/tmp/nvidia-mps")),
                resident(6, server=True, pipe=None, parent=5),
                resident(7, server=True, pipe=Path("/tmp/other"), parent=1000),
                resident(8, server=False, pipe=MPS / "GPU-9/pipe", uid=4242),
            ],
            MPS,
            {"GPU-0"},
        )
    }
    assert set(found) == {3, 4, 5, 7, 8}
    assert [found[pid].ours for pid in (3, 4, 5, 7, 8)] == [True, True, False, False, False]
    assert "/tmp/nvidia-mps" in found[5].why
    assert "has ended" in found[7].why


def test_shares_that_the_state_does_not_know_are_reported_at_start(world, state):
    world.remains.left = [FILE, GROUP, replace(FILE, name="/run/x/regions/b")]

    async def story(daemon):
        await daemon.service.leftovers.report_unknown()
        (event,) = (e for e in daemon.store.events.since(0) if e.type == "state.lost")
        assert "2 shares that the state file does not know: a, b" in event.message

    live(world, state, story)


def test_nothing_is_reported_of_shares_that_are_known(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        world.remains.left = [replace(FILE, name=f"/run/x/regions/{share.id}")]
        await daemon.service.leftovers.report_unknown()
        assert all(event.type != "state.lost" for event in daemon.store.events.since(0))

    live(world, state, story)
