# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and under which name."""

import pytest
from msgspec.structs import replace

from gpushare.model.access.role import Role
from gpushare.model.errors import (
    BadSpecError,
    NotYoursError,
    UsageError,
)
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Seconds
from gpushare.model.view import CreateRequest, EnterRequest, UpdateRequest
from support.world.session import ME, STRANGER, live


def test_only_the_owner_touches_a_share(world, state):
    async def story(daemon):
        share, process = await daemon.run(8)
        for call in (
            daemon.service.remove(share.id, STRANGER, force=True),
            daemon.service.verify(share.id, STRANGER),
            daemon.service.wait(share.id, (), Seconds(1), STRANGER),
            daemon.service.enter(share.id, EnterRequest(pid=process.pid), STRANGER),
        ):
            with pytest.raises(NotYoursError):
                await call
        seen = (await daemon.service.shares(STRANGER))[0]
        assert (seen.id, seen.pids, seen.why) == (share.id, (), ())

    live(world, state, story)


def test_no_user_enters_with_the_process_of_another(world, state):
    async def story(daemon):
        process = world.spawn()
        spec = ShareSpec(memory=MemoryAsk(limit=GIB))
        share = await daemon.service.create(CreateRequest(spec=spec), STRANGER)
        with pytest.raises(NotYoursError, match="process"):
            await daemon.service.enter("share", EnterRequest(pid=process.pid), STRANGER)
        with pytest.raises(UsageError, match="no process 999999"):
            await daemon.service.enter(share.id, EnterRequest(pid=999_999), ME)

    live(world, state, story)


def test_operators_act_on_shares_and_not_on_other_peoples_processes(world, state):
    operator = replace(STRANGER, role=Role.OPERATOR)

    async def story(daemon):
        share, _ = await daemon.run(8)
        await daemon.service.update(share.id, UpdateRequest(priority="low"), operator)
        victim = world.spawn()  # entered, it could be ended together with the share
        with pytest.raises(NotYoursError, match="process"):
            await daemon.service.enter(share.id, EnterRequest(pid=victim.pid), operator)
        spec = ShareSpec(memory=MemoryAsk(limit=GIB))
        with pytest.raises(NotYoursError, match="process"):
            await daemon.service.create(CreateRequest(spec=spec, holder=victim.pid), operator)

    live(world, state, story)


@pytest.mark.parametrize("name", ["a/b", "../x", "-x", "", "ü", "x" * 64])
def test_bad_names_are_refused(world, state, name):
    async def story(daemon):
        if name:
            with pytest.raises(BadSpecError, match="cannot name"):
                await daemon.create(8, name=name)

    live(world, state, story)


def test_names_follow_the_program(world, state):
    async def story(daemon):
        names = [(await daemon.create(1)).name for _ in range(3)]
        assert names == ["train", "train-2", "train-3"]

    live(world, state, story)
