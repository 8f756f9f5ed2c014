# SPDX-License-Identifier: Apache-2.0
"""Who is taken for a process of a share."""

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
