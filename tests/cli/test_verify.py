# SPDX-License-Identifier: Apache-2.0
"""`gpushare verify` on a real daemon: what it tries, and what it leaves behind."""

import json

import pytest

from support.daemon import Daemon


@pytest.fixture
def limited(daemon: Daemon) -> Daemon:
    daemon.gpushare(
        "create", "--name", "part", "-m", "8GiB", "-c", "40", "--mechanism", "timeslice"
    )
    return daemon


def test_it_tries_published_attacks_and_a_busy_neighbour(limited: Daemon) -> None:
    done = limited.gpushare("verify", "part", "-o", "json")
    found = json.loads(done.stdout)
    assert found["ok"], found
    by_dimension = {finding["dimension"]: finding for finding in found["findings"]}
    assert by_dimension["fault"]["trial"] == "promised"
    assert by_dimension["fault"]["delivered"] is None
    memory = {one["name"]: one["result"] for one in by_dimension["memory"]["attacks"]}
    assert memory["four processes"] == "held"
    assert memory["without the guard"] == "through"
    assert {"by dlmopen", "with an empty environment", "with all devices"} <= memory.keys()
    compute = {one["name"] for one in by_dimension["compute"]["attacks"]}
    assert {"with WFI preemption", "with a long timeslice", "four processes"} <= compute
    assert "next to a program that wants all" in by_dimension["compute"]["evidence"]


def test_it_leaves_nothing_and_raises_no_alarm(limited: Daemon) -> None:
    before = limited.share("part")
    listed = limited.gpushare("verify", "--attacks", "part").stdout
    assert "four processes" in listed
    after = limited.share("part")
    assert after["escape"] == before["escape"] is None
    assert after["enforcement"] == before["enforcement"]
    assert len(list((limited.runtime / "regions").iterdir())) == 1
    assert limited.gpushare("clean").stdout.count("region") == 0
