# SPDX-License-Identifier: Apache-2.0
"""Who is taken for a process of a share."""

from gpushare.daemon.observe import share_processes
from gpushare.model.share import State
from support.world.session import STRANGER, live


def test_a_region_can_name_processes_that_left_every_other_trace(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        lone = world.spawn()
        world.claimed = (lone.pid,)
        await daemon.tick()
        assert lone.pid in (await daemon.show(share.id)).pids

    live(world, state, story)


def test_a_region_cannot_make_a_strangers_process_a_member(world, state):
    """The region is the tenant's to write; the daemon ends members, as root."""

    async def story(daemon):
        share, process = await daemon.run(8)
        victim = world.spawn(uid=STRANGER.uid)
        world.claimed = (victim.pid,)
        await daemon.tick()
        assert (await daemon.show(share.id)).pids == (process.pid,)

        await daemon.parts.termination.stop(daemon.store.shares.get(share.id), "over")
        await daemon.tick(60)

        assert victim.pid not in {pid for pid, _ in world.signals}
        assert all(victim.pid not in pids for _, pids in world.drained)

    live(world, state, story)


def test_a_job_of_many_processes_takes_few_descriptors(world, state, monkeypatch):
    async def story(daemon):
        monkeypatch.setattr(share_processes, "MOST_WATCHED", 4)
        opened, alive = [], daemon.parts.ports.processes.alive
        works = daemon.parts.ports.processes.open

        def opens(process):
            opened.append(process)
            return works(process)

        monkeypatch.setattr(daemon.parts.ports.processes, "open", opens)
        share, process = await daemon.run(8)
        children = [world.spawn(process.pid) for _ in range(16)]
        await daemon.tick()
        assert len((await daemon.show(share.id)).pids) == len(children) + 1
        assert len(set(opened)) <= 5
        for child in (*children, process):
            world.end(child)
        await daemon.tick(times=2)
        assert not any(alive(child) for child in children)
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_daemon_without_descriptors_notices_the_end_of_processes_by_its_passes(
    world, state, monkeypatch
):
    async def story(daemon):
        def none_left(process):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(daemon.parts.ports.processes, "open", none_left)
        share, process = await daemon.run(8)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RUNNING
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED
        assert daemon.core.failed_passes == 0

    live(world, state, story)
