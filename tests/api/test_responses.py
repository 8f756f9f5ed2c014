# SPDX-License-Identifier: Apache-2.0
"""A list that is kept rendered is never given for another one."""

import json
from datetime import UTC, datetime

from gpushare.api.responses import Lists
from gpushare.model.profile import Profile, ProfileList, Runs
from gpushare.model.view import ShareList

RUN = Runs(
    program="train.py",
    count=1,
    seconds=1.0,
    longest=1.0,
    peak=None,
    last=datetime(2026, 1, 1, tzinfo=UTC),
)


def body(lists: Lists, answer: ShareList | ProfileList) -> dict[str, object]:
    found: dict[str, object] = json.loads(lists.body(answer).content)
    return found


def test_empty_lists_of_two_kinds_are_two_answers() -> None:
    lists = Lists()
    assert body(lists, ShareList(items=())) == {"apiVersion": "v1", "items": []}
    assert body(lists, ProfileList(items=()))["runs"] == []


def test_what_a_list_has_besides_its_items_is_looked_at() -> None:
    lists = Lists()
    items = (Profile(program="train.py", beside="", seconds=1.0, work=1.0),)  # prose: allow
    assert body(lists, ProfileList(items=items))["runs"] == []
    runs = body(lists, ProfileList(items=items, runs=(RUN,)))["runs"]
    assert [run["program"] for run in runs] == ["train.py"]


def test_the_same_list_is_rendered_once() -> None:
    lists = Lists()
    first = lists.body(ProfileList(items=(), runs=(RUN,)))
    assert lists.body(ProfileList(items=(), runs=(RUN,))) is first


def test_an_equal_list_of_other_objects_is_not_rendered_again() -> None:
    lists = Lists()
    made = [
        Profile(program="train.py", beside="", seconds=1.0, work=1.0)  # prose: allow
        for _ in range(2)
    ]
    first, second = (ProfileList(items=(profile,)) for profile in made)
    assert lists.body(first) is lists.body(second)
