# SPDX-License-Identifier: Apache-2.0
"""A line answers about each unit as if all before it were served for that unit alone."""

import random

import pytest
from msgspec.structs import replace

from gpushare.model.ids import ShareId
from gpushare.scheduler import Waiting, decide, place_behind
from gpushare.scheduler.capacity.timeline import timeline
from gpushare.scheduler.placing.line import Line
from support.scheduling.values import ask, gpu, snapshot, taken


@pytest.mark.parametrize("seed", range(8))
def test_each_answer_is_that_of_a_decision_behind_all_before(seed):
    dice = random.Random(seed)
    full = [ask(dice.choice([20, 30, 40]), compute=dice.choice([10, 30])) for _ in range(3)]
    state = taken(snapshot(gpu(), gpu(1)), *full, ttl=dice.choice([0, 600]))
    requests = [
        replace(
            ask(dice.choice([5, 20, 60, 79]), compute=30, uid=1000, ttl=dice.choice([None, 60])),
            id=ShareId(f"{number:012x}"),
        )
        for number in range(12)
    ]
    line = Line(timeline(state))
    for number, request in enumerate(requests):
        alone = decide(replace(state, queue=tuple(requests[:number])), request)
        found = place_behind(line, [request])
        assert (found if isinstance(found, Waiting) else found[0]) == alone
        line.add((request,))
