# SPDX-License-Identifier: Apache-2.0
"""Decisions are kept with what they were made from, and can be made again."""

import pytest
from msgspec.structs import replace

from gpushare.daemon.placement.replay import DecisionRecord, replay
from gpushare.model.errors import NotFoundError
from gpushare.scheduler import decide
from support.scheduling.values import NOW, ask, gpu, snapshot
from support.world.session import ME, live


def test_a_decision_can_be_made_again(world, state):
    async def story(daemon):
        await daemon.create(8, name="a")
        await daemon.create(8, name="b")
        made = await daemon.service.decision("b", ME)
        assert made.same
        assert made.shares == ("a",)
        assert made.decision.gpus == (await daemon.show("b")).gpus

    live(world, state, story)


def test_nothing_is_kept_of_one_that_waits(world, state):
    async def story(daemon):
        await daemon.create(80, name="a")
        await daemon.create(80, name="b")
        with pytest.raises(NotFoundError):
            await daemon.service.decision("b", ME)

    live(world, state, story)


def test_another_answer_is_reported():
    state, request = snapshot(gpu()), ask(8)
    elsewhere = replace(decide(state, request), why=("otherwise",))
    body = DecisionRecord(state=state, requests=(request,), decision=elsewhere).encode()

    found = replay("a", NOW, body)

    assert not found.same
    assert "GPU-0" in found.again
