# SPDX-License-Identifier: Apache-2.0
"""What one user gets to see of another's shares."""

import msgspec
import pytest
from msgspec.structs import replace

from gpushare.model.access.role import Role
from gpushare.model.errors import NoSuchShareError, NotYoursError
from gpushare.model.policy.tenant import Policy, Visibility
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.view import CreateRequest
from support.world.session import ME, STRANGER, live

OPERATOR = replace(STRANGER, role=Role.OPERATOR)
VIEWER = replace(STRANGER, role=Role.VIEWER)
SECRETS = ("hidden-name", "hidden-label", "hidden-reason", "hidden-log")


async def occupied(daemon):
    """A share with everything that could be shown."""
    share, process = await daemon.run(8, name="hidden-name", labels={"what": "hidden-label"})
    daemon.store.shares.update(share.id, reason="hidden-reason", log="hidden-log")
    daemon.world.occupy(process, 4)
    return share, process


@pytest.mark.parametrize("caller", [STRANGER, VIEWER])
def test_a_stranger_sees_that_a_gpu_is_full_and_not_with_what(world, state, caller):
    async def story(daemon):
        share, _ = await occupied(daemon)
        [seen] = await daemon.service.shares(caller)
        assert (seen.id, seen.gpus, seen.memory.limit) == (share.id, share.gpus, 8 << 30)
        assert (seen.state, seen.memory.used, seen.compute.delivered) == ("running", None, None)
        text = msgspec.json.encode(seen).decode()
        assert not [secret for secret in (*SECRETS, share.user) if f'"{secret}' in text]
        [gpu] = await daemon.service.gpus(caller)
        assert gpu.memory.granted == 8 << 30
        assert gpu.processes == ()
        metrics = (await daemon.service.metrics(caller)).decode()
        assert share.id in metrics
        assert "hidden-name" not in metrics

    live(world, state, story)


@pytest.mark.parametrize("caller", [ME, OPERATOR])
def test_owner_and_operators_see_all(world, state, caller):
    async def story(daemon):
        share, process = await occupied(daemon)
        [seen] = await daemon.service.shares(caller)
        assert (seen.name, seen.user) == ("hidden-name", share.user)
        assert seen.pids == (process.pid,)
        [gpu] = await daemon.service.gpus(caller)
        assert [one.pid for one in gpu.processes] == [process.pid]
        assert b"hidden-name" in await daemon.service.metrics(caller)

    live(world, state, story)


def test_a_policy_may_show_whose_shares_are_whose(world, state):
    async def story(daemon):
        share, process = await occupied(daemon)
        policy = Policy(visibility=Visibility.SHARES)
        daemon.store.policy.put(policy, "root", world.clock.now())
        [seen] = await daemon.service.shares(STRANGER)
        assert (seen.name, seen.user) == ("hidden-name", share.user)
        assert (seen.pids, seen.log, seen.reason, seen.why) == ((), None, "", ())
        assert await daemon.service.show(f"{share.user}/hidden-name", STRANGER) == seen
        [gpu] = await daemon.service.gpus(STRANGER)
        assert [one.pid for one in gpu.processes] == [process.pid]

    live(world, state, story)


def test_names_cannot_be_guessed(world, state):
    async def story(daemon):
        share, _ = await occupied(daemon)
        for ref in ("hidden-name", "no-such-name"):
            with pytest.raises(NoSuchShareError):
                await daemon.service.show(ref, STRANGER)
            with pytest.raises(NoSuchShareError):
                await daemon.service.remove(ref, STRANGER, force=True)
        with pytest.raises(NotYoursError) as refused:
            await daemon.service.remove(share.id, STRANGER)
        assert share.user not in str(refused.value)
        assert "hidden-name" not in str(refused.value)

    live(world, state, story)


def test_the_name_of_a_share_next_to_another_is_not_shown(world, state):
    async def story(daemon):
        await occupied(daemon)
        mine = await daemon.service.create(_request(), STRANGER)
        shown = await daemon.service.show(mine.id, STRANGER)
        decided = await daemon.service.decision(mine.id, STRANGER)
        assert decided.shares == ()
        assert "hidden-name" not in msgspec.json.encode([shown, decided]).decode()

    live(world, state, story)


def _request():
    return CreateRequest(spec=ShareSpec(memory=MemoryAsk(limit=1 << 30)), program="mine")


def test_events_are_for_whose_share_it_is(world, state):
    async def story(daemon):
        await occupied(daemon)
        daemon.parts.bus.close()

        async def heard(caller):
            return [event.type async for event in daemon.service.events(0, caller)]

        daemon.parts.bus.publish("token.created", "for lin")
        daemon.parts.bus.publish("policy.changed", "by lin")
        daemon.parts.bus.publish("gpu.lost", "GPU 0 is lost")
        assert await heard(STRANGER) == ["gpu.lost"]
        assert await heard(VIEWER) == ["gpu.lost"]
        assert "share.granted" in await heard(ME)
        assert await heard(OPERATOR) == await heard(ME)

    live(world, state, story)
