# SPDX-License-Identifier: Apache-2.0
"""Starting, seeing and ending the daemon as users do."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import GPUSHARE, Daemon
from support.machine import Machine


@pytest.fixture
def apart(machine: Machine, short_path: Path) -> Iterator[Daemon]:
    """Folders of its own and no daemon; whatever a test detaches is ended."""
    found = Daemon(machine, short_path)
    yield found
    found.gpushare("daemon", "stop")


def test_a_detached_daemon_answers_when_the_command_returns(apart: Daemon) -> None:
    started = apart.gpushare("daemon", "--detach")

    assert (started.returncode, started.stdout) == (0, "")
    assert apart.gpushare("daemon", "status").returncode == 0
    assert apart.gpushare("run", "--", "true").returncode == 0


def test_a_second_daemon_on_the_same_socket_is_refused(apart: Daemon) -> None:
    apart.gpushare("daemon", "--detach")

    again = apart.gpushare("daemon", "--detach")

    assert again.returncode == 6
    assert "GS1402" in again.stderr


def test_a_second_daemon_with_the_same_state_is_refused(apart: Daemon, tmp_path: Path) -> None:
    apart.gpushare("daemon", "--detach")

    again = apart.gpushare("daemon", "--socket", apart.folder / "other")

    assert again.returncode == 6
    assert "GS1402" in again.stderr


def test_a_detached_daemon_that_cannot_start_says_why(apart: Daemon) -> None:
    apart.state.mkdir()
    (apart.state / "state.db").write_bytes(b"not a database" * 100)

    done = apart.gpushare("daemon", "--detach")

    assert done.returncode == 1
    assert "GS1601" in done.stderr
    assert (apart.state / "state.db").read_bytes().startswith(b"not a database")


def test_stopping_it_keeps_the_shares_for_the_next_one(apart: Daemon) -> None:
    apart.gpushare("daemon", "--detach")
    apart.gpushare("create", "--name", "held", "-m", "1GiB")

    assert apart.gpushare("daemon", "stop").returncode == 0
    assert apart.gpushare("daemon", "status").returncode == 6

    apart.gpushare("daemon", "--detach")
    assert [share["name"] for share in apart.shares()] == ["held"]


def test_status_is_the_answer_of_the_daemon(apart: Daemon) -> None:
    apart.gpushare("daemon", "--detach")

    found = apart.json("daemon", "status")

    assert found["api"] == "v1"
    os.kill(found["pid"], 0)


def test_ctrl_c_ends_it_in_order(apart: Daemon) -> None:
    apart.start()

    assert apart.stop(signal.SIGINT) == 0
    assert not apart.socket.exists()


def test_its_log_can_be_read_by_machines(apart: Daemon) -> None:
    apart.start("--log-format", "json")
    apart.stop()

    lines = [json.loads(line) for line in apart.log.read_text().splitlines()]
    assert any(line["event"] == "daemon.ready" for line in lines)


@pytest.mark.parametrize(
    "flags", [("--log-level", "loud"), ("--reconcile-interval", "0"), ("--socket", "x" * 200)]
)
def test_wrong_flags_are_usage_errors(apart: Daemon, flags: tuple[str, str]) -> None:
    done = apart.machine.run(*GPUSHARE, "daemon", *flags, env=apart.environment)

    assert done.returncode in {2, 5}
    assert "code: GS1" in done.stderr


def test_shares_are_listed_while_the_driver_refuses(apart: Daemon) -> None:
    apart.start()
    assert apart.gpushare("create", "-m", "1GiB", "--name", "kept").returncode == 0
    apart.stop()
    apart.machine.fault("driver_mismatch=1")
    apart.start()

    done = apart.gpushare("ps")

    assert done.returncode == 0
    assert "kept" in done.stdout
    assert "different versions" in done.stderr
    apart.machine.fault("driver_mismatch=0")
    assert apart.gpushare("rm", "kept").returncode == 0
    apart.stop()
