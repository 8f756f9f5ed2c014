# SPDX-License-Identifier: Apache-2.0
"""Calls that come too often are made again, for a limited time."""

import pytest

from gpushare.client.retry import PAUSES, retried
from gpushare.model.errors import NoCapacityError, RateLimitedError


class Daemon:
    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def __call__(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_call_that_came_too_soon_is_made_again():
    slept = []
    ask = Daemon(RateLimitedError("slow"), RateLimitedError("slow"), "done")
    assert retried(ask, sleep=slept.append) == "done"
    first, second = slept
    assert PAUSES[0] / 2 <= first <= PAUSES[0] * 1.5
    assert PAUSES[1] / 2 <= second <= PAUSES[1] * 1.5


def test_patience_has_an_end():
    ask = Daemon(*[RateLimitedError("slow")] * 9)
    with pytest.raises(RateLimitedError):
        retried(ask, sleep=lambda _: None)
    assert len(ask.answers) == 9 - len(PAUSES) - 1


def test_other_refusals_are_final():
    with pytest.raises(NoCapacityError):
        retried(Daemon(NoCapacityError("full")), sleep=pytest.fail)
