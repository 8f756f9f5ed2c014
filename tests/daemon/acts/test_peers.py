# SPDX-License-Identifier: Apache-2.0
"""Shares of one user may open the device nodes of each other's GPUs, and of no others."""

import pytest

from gpushare.mechanisms.visible_devices import CONFINED
from gpushare.model.share import Level
from gpushare.model.spec import MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import CreateRequest, EnterRequest, MigrateRequest
from support.world.session import ME, STRANGER, live
from support.world.world import Nodes, make_world


@pytest.fixture
def world(tmp_path):
    found = make_world(tmp_path / "world", gpus=3)
    found.nodes = Nodes()
    yield found
    found.close()


async def share_on(daemon, gpu: int, name: str, caller=ME):
    spec = ShareSpec(
        name=name,
        memory=MemoryAsk(limit=8 * GIB),
        gpu=(str(gpu),),
        mechanism=MechanismName.TIMESLICE,
    )
    return await daemon.service.create(CreateRequest(spec=spec), caller)


def nodes(world, *shares):
    return [sorted(world.nodes.confined[share.id]) for share in shares]


def test_each_of_two_shares_opens_the_gpu_of_the_other(world, state):
    async def story(daemon):
        one = await share_on(daemon, 0, "one")
        assert nodes(world, one) == [["GPU-0"]]
        other = await share_on(daemon, 1, "other")
        assert nodes(world, one, other) == [["GPU-0", "GPU-1"]] * 2

        await daemon.service.remove("one", ME)
        assert nodes(world, other) == [["GPU-1"]]

    live(world, state, story)


def test_the_gpu_of_another_user_stays_shut(world, state):
    async def story(daemon):
        mine = await share_on(daemon, 0, "mine")
        theirs = await share_on(daemon, 1, "theirs", STRANGER)
        assert nodes(world, mine, theirs) == [["GPU-0"], ["GPU-1"]]

    live(world, state, story)


def test_it_follows_a_share_to_another_gpu(world, state):
    async def story(daemon):
        one, other = await share_on(daemon, 0, "one"), await share_on(daemon, 1, "other")
        await daemon.service.migrate("one", MigrateRequest(to=("2",)), ME)
        assert nodes(world, one, other) == [["GPU-1", "GPU-2"]] * 2

    live(world, state, story)


def test_the_next_daemon_writes_the_same_rules(world, state):
    async def first(daemon):
        return await share_on(daemon, 0, "one"), await share_on(daemon, 1, "other")

    async def second(daemon):
        await daemon.service.enter("one", EnterRequest(pid=world.spawn().pid), ME)

    one, other = live(world, state, first)
    world.nodes.confined.clear()
    live(world, state, second)
    assert nodes(world, one, other) == [["GPU-0", "GPU-1"]] * 2


def test_the_claim_says_so():
    assert CONFINED.level is Level.ENFORCED
    assert "its user has another share" in CONFINED.but
