# SPDX-License-Identifier: Apache-2.0
"""An upgrade with living shares, from every schema of the state and every version of shared files.

Programs of an earlier release run on: they are counted, shown, limited and released; new programs
start once none of them is left; and nothing is granted twice.
"""

import pytest

from gpushare.guard import GpuPage, Region
from gpushare.model.units import GIB
from support.former import ARCHIVES, Former

CHARGED = 2671771648  # bytes, of every program that was recorded
USABLE = 141 * GIB


def test_programs_of_an_earlier_release_are_kept_counted_shown_and_released(former: Former):
    program = former.adopt("busy")
    former.daemon.start()
    busy = former.daemon.until_state("busy", "running")
    assert busy["pids"] == [program.pid]
    assert busy["memory"]["used"] == CHARGED
    assert busy["memory"]["limit"] == 8 * GIB
    assert not busy["reason"]
    assert former.daemon.gpushare("update", "busy", "-m", "7GiB").returncode == 0
    assert list(Region(former.region("busy")).limits().values()) == [7 * GIB]
    program.kill()
    program.wait()
    former.daemon.gpushare("wait", "busy")
    assert former.daemon.share("busy") is None
    assert not former.region("busy").exists()


def test_new_programs_are_refused_in_one_word_while_old_ones_run_and_start_afterwards(
    former: Former,
):
    program = former.adopt("busy")
    former.daemon.start()
    if Region(former.region("busy")).snapshot().former:
        refused = former.daemon.gpushare("exec", "busy", "--", "true")
        assert "its region is of an earlier gpushare" in refused.stderr
        assert "gpushare rm --force busy" in refused.stderr
        assert "of an earlier gpushare" in former.daemon.gpushare("show", "busy").stdout
        assert program.poll() is None
    done = former.daemon.gpushare("exec", "held", "--", "true")
    assert done.returncode == 0, done.stderr
    assert not Region(former.region("held")).snapshot().former


def test_nothing_is_granted_twice_and_the_queue_goes_on(former: Former):
    former.adopt("busy")
    former.adopt("away")
    former.daemon.start()
    shares = former.daemon.shares()
    assert sum(s["memory"]["limit"] or 0 for s in shares if s["gpus"]) <= USABLE
    assert former.daemon.share("waiting")["state"] == "queued"
    for name in ("busy", "away", "held"):
        removed = former.daemon.gpushare("rm", "--force", name)
        assert removed.returncode == 0, removed.stderr
        if program := former.programs.get(name):
            program.wait(120)
    former.daemon.until_state("waiting", "granted")
    [gpu] = former.daemon.json("gpus")["items"]
    assert gpu["memory"]["granted"] == former.shares["waiting"]["memory"]["limit"]


def test_shares_whose_programs_ended_during_the_upgrade_end(former: Former):
    former.daemon.start()
    for name in ("busy", "away"):
        former.daemon.gpushare("wait", name, timeout=90)
    assert {share["name"] for share in former.daemon.shares()} == {"held", "waiting"}
    assert former.daemon.gpushare("audit", "verify").returncode == 0


@pytest.mark.parametrize("former", [p for p in ARCHIVES if "region-2" in p.name], indirect=True)
def test_a_share_of_an_earlier_release_shares_its_gpu_page_with_new_ones(former: Former):
    program = former.adopt("busy")
    former.daemon.start()
    page = next((former.daemon.runtime / "boards").iterdir())
    before = page.stat().st_ino
    assert former.daemon.gpushare("rm", "--force", "waiting").returncode == 0
    created = former.daemon.gpushare(
        "create", "--no-wait", "--name", "new", "-m", "1GiB", "-c", "30%", "--ttl", "1h"
    )
    assert created.returncode == 0, created.stderr
    assert page.stat().st_ino == before, "its programs would be on a page of their own"
    assert program.poll() is None
    slots = {}

    for slot in GpuPage(page).snapshot().share_slots:
        assert slot.policy.share not in slots
        slots[slot.policy.share] = slot.number
    assert len(slots) == len(set(slots.values())) >= 3
