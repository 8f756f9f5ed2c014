# SPDX-License-Identifier: Apache-2.0
"""Held shares: create, env, exec, show, wait, rm, verify."""

import json
import signal
import subprocess
import sys

import pytest

from support.daemon import Daemon


@pytest.fixture
def held(daemon: Daemon) -> Daemon:
    assert daemon.gpushare("create", "-m", "2GiB", "--name", "held").stdout == "held\n"
    return daemon


def test_a_held_share_is_found_by_name_id_and_the_start_of_its_id(held: Daemon):
    share = held.json("show", "held")

    assert held.json("show", share["id"])["name"] == "held"
    assert held.json("show", share["id"][:6])["name"] == "held"
    assert share["state"] == "granted"


def test_exec_joins_it(held: Daemon):
    share = held.json("show", "held")
    done = held.gpushare("exec", "held", "--", "sh", "-c", "echo $GPUSHARE_SHARE")

    assert done.stdout.strip() == share["id"]


def test_a_shell_enters_by_env(held: Daemon):
    script = f'eval "$({sys.executable} -m gpushare.cli env held)"; echo $GPUSHARE_SHARE'
    done = subprocess.run(
        ["bash", "-c", script], env=held.environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == held.json("show", "held")["id"]


def test_env_as_json_is_the_entry(held: Daemon):
    found = json.loads(held.gpushare("env", "held", "--shell", "json").stdout)

    assert found["env"]["GPUSHARE_SHARE"] == found["share"]
    assert found["env"]["LD_PRELOAD"].endswith("libgpushare.so")


def test_a_name_is_taken_once(held: Daemon):
    done = held.gpushare("create", "-m", "1GiB", "--name", "held")

    assert done.returncode != 0
    assert "held" in done.stderr


def test_a_share_in_use_is_not_removed_without_force(held: Daemon):
    with held.spawn("exec", "held", "--", "sleep", "60"):
        held.until_state("held", "running")
        kept = held.gpushare("rm", "held")
        gone = held.gpushare("rm", "-f", "held")

    assert (kept.returncode, gone.returncode) == (1, 0)
    assert "code: GS1703" in kept.stderr
    held.until_empty()


def test_rm_goes_on_after_one_that_is_not_there(held: Daemon):
    done = held.gpushare("rm", "nobody", "held")  # prose: allow

    assert done.returncode == 4
    assert done.stdout == "held\n"


def test_wait_for_a_state_it_is_in(held: Daemon):
    assert held.gpushare("wait", "held", "--for", "granted").returncode == 0


def test_wait_that_takes_too_long(held: Daemon):
    assert held.gpushare("wait", "held", "--timeout", "1s").returncode == 124


def test_wait_for_a_state_it_never_reaches(held: Daemon):
    held.gpushare("rm", "held")

    assert held.gpushare("wait", "held", "--for", "running").returncode == 3


def test_verify_proves_the_limit(held: Daemon):
    found = held.json("verify", "held")

    assert found["ok"]
    memory = next(f for f in found["findings"] if f["dimension"] == "memory")
    assert memory["delivered"] == memory["promised"] == "cooperative"


def test_a_share_ends_with_its_ttl(daemon: Daemon):
    daemon.gpushare("create", "-m", "1GiB", "--name", "brief", "--ttl", "1s")

    assert daemon.gpushare("wait", "brief", "--timeout", "60s").returncode == 0


def test_filters(held: Daemon):
    mine = held.json("show", "held")["user"]

    assert held.gpushare("ps", "-q", "--filter", f"user={mine}").stdout == "held\n"
    assert held.gpushare("ps", "-q", "--filter", "user=nobody-else").stdout == ""  # prose: allow
    assert held.gpushare("ps", "--filter", "size=3").returncode == 2


def test_what_a_share_does_not_protect_against_is_shown(held: Daemon):
    assert "not protected" in held.gpushare("show", "held").stdout


def test_no_log_of_a_share_that_has_none(held: Daemon):
    done = held.gpushare("logs", "held")

    assert done.returncode == 4
    assert "code: GS1203" in done.stderr


def test_ctrl_c_while_a_share_is_created_withdraws_it(daemon: Daemon):
    daemon.gpushare("create", "--name", "all", "-m", "90%")
    with daemon.spawn("create", "--name", "next", "-m", "90%") as waiting:
        daemon.until_state("next", "queued")
        waiting.send_signal(signal.SIGINT)

        assert waiting.wait(120) == 130
    assert daemon.share("next") is None


@pytest.mark.parametrize("timeout", ["soon", "0s"])
def test_a_wrong_timeout_creates_nothing(shared_daemon: Daemon, timeout: str):
    assert shared_daemon.gpushare("create", "-m", "1GiB", "--timeout", timeout).returncode == 2
    assert shared_daemon.shares() == []


def test_what_did_not_get_a_place_in_time_is_not_created(daemon: Daemon):
    daemon.gpushare("create", "--name", "all", "-m", "90%")

    assert daemon.gpushare("create", "-m", "90%", "--timeout", "1s").returncode == 124
    assert [share["name"] for share in daemon.shares()] == ["all"]
