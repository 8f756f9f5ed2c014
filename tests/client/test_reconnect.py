# SPDX-License-Identifier: Apache-2.0
"""Waiting for a daemon that has gone away, on a clock of its own."""

import pytest

from gpushare.client.reconnect import Reconnect
from gpushare.model.errors import ConflictError, DaemonUnreachableError


class Away:
    """A daemon that does not answer until `until`; `notes` is what users would read."""

    def __init__(self, until: float, seconds: float = 10) -> None:
        self.until, self.time = until, 0.0
        self.notes: list[str] = []
        self.reconnect = Reconnect(
            seconds,
            away=lambda left: self.notes.append(f"away {left:g}"),
            back=lambda: self.notes.append("back"),
            sleep=self.pass_by,
            now=lambda: self.time,
        )

    def pass_by(self, seconds: float) -> None:
        self.time += seconds

    def answer(self) -> str:
        if self.time < self.until:
            raise DaemonUnreachableError("no daemon answers")
        return "an answer"


def test_a_daemon_that_answers_is_not_spoken_of():
    daemon = Away(until=0)

    assert daemon.reconnect.call(daemon.answer) == "an answer"
    assert daemon.notes == []


def test_an_absence_is_reported_once():
    daemon = Away(until=5)

    assert daemon.reconnect.call(daemon.answer) == "an answer"
    assert daemon.notes == ["away 10", "back"]


def test_each_absence_is_reported():
    daemon = Away(until=5)
    daemon.reconnect.call(daemon.answer)
    daemon.until = daemon.time + 5

    assert daemon.reconnect.call(daemon.answer) == "an answer"
    assert daemon.notes == ["away 10", "back"] * 2


def test_an_absence_that_is_too_long_is_an_error():
    daemon = Away(until=60)

    with pytest.raises(DaemonUnreachableError):
        daemon.reconnect.call(daemon.answer)
    assert 10 <= daemon.time < 11
    assert daemon.notes == ["away 10"]


def test_without_time_the_first_absence_is_an_error():
    daemon = Away(until=1, seconds=0)

    with pytest.raises(DaemonUnreachableError):
        daemon.reconnect.call(daemon.answer)
    assert (daemon.time, daemon.notes) == (0, [])


def test_other_errors_are_not_repeated():
    daemon = Away(until=0)

    def refuse() -> None:
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        daemon.reconnect.call(refuse)


def test_a_follower_goes_on_with_what_it_has():
    daemon = Away(until=5)

    assert daemon.reconnect.tried(daemon.answer, "nothing") == "nothing"
    daemon.time = 5
    assert daemon.reconnect.tried(daemon.answer, "nothing") == "an answer"
    assert daemon.notes == ["away 10", "back"]
