# SPDX-License-Identifier: Apache-2.0
"""Leftovers and profiles over HTTP."""

import pytest

from gpushare.model.leftover import Kind, Leftover

LEFT = Leftover(kind=Kind.REGION, name="/run/x/regions/a", why="share a no longer exists")


def test_they_are_listed_and_cleaned(api):
    api.daemon.world.remains.left = [LEFT]

    (item,) = api.call("GET", "/v1/leftovers").json["items"]
    assert (item["kind"], item["name"], item["ours"]) == ("region", LEFT.name, True)
    dry = api.call("POST", "/v1/leftovers/clean", {})
    assert [one["outcome"] for one in dry.json["items"]] == ["would"]
    done = api.call("POST", "/v1/leftovers/clean", {"dry_run": False, "kinds": ["region"]})
    assert [one["outcome"] for one in done.json["items"]] == ["done"]
    assert api.call("GET", "/v1/leftovers").json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"kinds": ["attic"]},
        {"processes": [7]},
        {"processes": [{"pid": 7}]},
        {"dry_run": "no"},
        {"everything": True},
    ],
)
def test_a_wrong_wish_is_refused_before_anything_is_done(api, body):
    api.daemon.world.remains.left = [LEFT]
    answer = api.call("POST", "/v1/leftovers/clean", {"dry_run": False} | body)
    assert answer.status == 400
    assert api.daemon.world.remains.left == [LEFT]


def test_a_process_that_is_no_leftover_is_not_ended(api):
    body = {"processes": [{"pid": 1, "started": 1}], "dry_run": False}
    answer = api.call("POST", "/v1/leftovers/clean", body)
    assert (answer.status, answer.code) == (400, "GS1100")
    assert not api.daemon.world.signals


def test_profiles_begin_empty(api):
    found = api.call("GET", "/v1/profiles").json
    assert (found["items"], found["runs"]) == ([], [])
