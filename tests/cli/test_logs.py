# SPDX-License-Identifier: Apache-2.0
"""The output of programs in the background."""

from pathlib import Path

import pytest

from support.daemon import Daemon, until

COUNT = "echo out 1; echo err 2 >&2; echo out 3"


def detached(daemon: Daemon, name: str, script: str) -> None:
    state = {"XDG_STATE_HOME": str(daemon.folder / "home")}
    done = daemon.gpushare("run", "-d", "--name", name, "--", "sh", "-c", script, env=state)
    assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr


def test_both_streams_are_in_the_log_after_the_share_has_ended(daemon: Daemon) -> None:
    detached(daemon, "job", COUNT)
    daemon.until_empty()

    assert daemon.gpushare("logs", "job").stdout == "out 1\nerr 2\nout 3\n"
    assert daemon.gpushare("logs", "-n", "1", "job").stdout == "out 3\n"
    assert daemon.gpushare("logs", "-n", "0", "job").stdout == ""


def test_following_ends_with_the_share_and_misses_nothing(daemon: Daemon) -> None:
    go = daemon.folder / "go"
    detached(daemon, "job", f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; echo last")

    following = daemon.spawn("logs", "-f", "job")
    assert following.stdout is not None
    first = following.stdout.readline()
    go.touch()
    rest, _ = following.communicate(timeout=120)

    assert (first, rest) == ("first\n", "last\n")


@pytest.mark.parametrize("folder", ["/etc/passwd", "/proc"])
def test_a_program_whose_log_cannot_be_written_takes_no_share(
    shared_daemon: Daemon, folder: str
) -> None:
    state = {"XDG_STATE_HOME": folder}
    done = shared_daemon.gpushare("run", "-d", "-m", "1GiB", "--", "true", env=state)

    assert done.returncode == 125
    assert f"because: {folder}/gpushare/logs: " in done.stderr
    assert "hint: name a folder of yours: XDG_STATE_HOME" in done.stderr
    assert "code: GS1903" in done.stderr
    assert shared_daemon.json("ps", "-a")["items"] == []


def test_a_share_on_a_terminal_has_no_log(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "held", "-m", "1GiB")

    done = daemon.gpushare("logs", "held")

    assert done.returncode == 4
    assert "GS1203" in done.stderr


def test_a_deleted_log_is_reported_as_gone(daemon: Daemon) -> None:
    detached(daemon, "job", "true")
    Path(daemon.json("show", "job")["log"]).unlink()

    assert "GS1203" in daemon.gpushare("logs", "job").stderr


def test_an_unknown_share_is_not_found(daemon: Daemon) -> None:
    assert daemon.gpushare("logs", "nobody").returncode == 4  # prose: allow


def test_a_program_in_the_background_gives_up_its_place_in_time(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "all", "-m", "90%")
    state = {"XDG_STATE_HOME": str(daemon.folder / "home")}

    done = daemon.gpushare("run", "-d", "--timeout", "1s", "-m", "90%", "--", "true", env=state)

    assert done.stdout == "true\n", done.stderr
    until(lambda: daemon.share("true") is None, "the share to be withdrawn")
    assert "GS1801" in daemon.gpushare("logs", "true").stdout
