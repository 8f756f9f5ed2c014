# SPDX-License-Identifier: Apache-2.0
"""Commands that wait go on when the daemon has been away."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from support.daemon import Daemon, until

FULL = ("-m", "100GiB")
PYTHON = """
import sys, gpushare
with gpushare.share(memory="100GiB", name="late"):
    print("went")
"""


@contextmanager
def waiting(daemon: Daemon, *commands: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands on a full machine, each in the queue before the next one starts."""
    daemon.gpushare("create", *FULL, "--name", "big")
    with ExitStack() as stack:
        processes = []
        for command in commands:
            processes.append(stack.enter_context(daemon.spawn(*command)))
            stack.callback(processes[-1].kill)
            if "--name" in command:
                daemon.until_state(command[command.index("--name") + 1], "queued")
        yield processes


def run(name: str, *options: str) -> tuple[str, ...]:
    return ("run", *FULL, *options, "--name", name, "--", "echo", name)


def connected(daemon: Daemon) -> bool:
    """Whether someone has a connection to the daemon (state 03 of /proc/net/unix)."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(" 03 " in line and line.endswith(f" {daemon.socket}") for line in lines)


def queue(daemon: Daemon) -> list[str]:
    return [share["name"] for share in daemon.shares() if share["state"] == "queued"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_places_in_the_queue_stay_while_the_daemon_is_away(
    daemon: Daemon, how: signal.Signals
) -> None:
    with waiting(daemon, run("first"), run("second")) as (first, second):
        daemon.stop(how)
        assert first.stderr is not None
        until(lambda: "the daemon is away" in first.stderr.readline(), "what first says")
        daemon.start()
        places = queue(daemon)
        daemon.gpushare("rm", "big")
        done = [process.communicate(timeout=60) for process in (first, second)]

    assert places == ["first", "second"]
    assert [out for out, _ in done] == ["first\n", "second\n"]
    assert done[0][1].count("the daemon is back") == 1
    assert done[1][1].count("the daemon is away") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("command", [run("late"), ("create", *FULL, "--name", "late")])
def test_who_is_gone_while_the_daemon_is_away_leaves_nothing_in_the_queue(
    daemon: Daemon, command: tuple[str, ...], how: signal.Signals
) -> None:
    with waiting(daemon, command) as (late,):
        daemon.kill()
        assert late.stderr is not None
        until(lambda: "the daemon is away" in late.stderr.readline(), "what it says")
        late.send_signal(how)
        code = late.wait(120)
        daemon.start()

        assert code == (130 if how is signal.SIGINT else -how)
        assert queue(daemon) == []


def test_the_wait_for_a_daemon_ends(daemon: Daemon) -> None:
    with waiting(daemon, run("late", "--reconnect", "1s")) as (late,):
        daemon.kill()
        _, err = late.communicate(timeout=60)

    assert late.returncode == 6
    assert "GS1401" in err
    daemon.start()


def test_wait_goes_on(daemon: Daemon) -> None:
    daemon.gpushare("create", "-m", "1GiB", "--name", "held")
    with daemon.spawn("wait", "held") as following:
        until(lambda: connected(daemon), "the call")
        daemon.stop()
        daemon.start()
        daemon.gpushare("rm", "held")
        out, _ = following.communicate(timeout=60)

    assert (following.returncode, out) == (0, "released\n")


def test_a_python_program_says_what_it_waits_for_and_goes_on(daemon: Daemon) -> None:
    daemon.gpushare("create", *FULL, "--name", "big")
    with daemon.machine.start(sys.executable, "-c", PYTHON, env=daemon.environment) as program:
        daemon.until_state("late", "queued")
        daemon.kill()
        assert program.stderr is not None
        said = [program.stderr.readline(), program.stderr.readline()]
        daemon.start()
        daemon.gpushare("rm", "big")
        out, err = program.communicate(timeout=60)

    assert "late is queued #1, waits for 100 GiB of memory on GPU 0" in said[0]
    assert "the daemon is away" in said[1]
    assert (out, err) == ("went\n", "gpushare: the daemon is back\n")


EVENTS = """
from gpushare import Client
for event in Client().events():
    print(event.seq, event.type, flush=True)
"""


def create(daemon: Daemon, name: str) -> None:
    done = daemon.gpushare("create", "-m", "1GiB", "--name", name, "--ttl", "1h")
    assert done.returncode == 0, done.stderr


def lines_until(follower: subprocess.Popen[str], count: int) -> list[str]:
    """The lines of a follower up to its `count`th granted share."""
    assert follower.stdout is not None
    lines: list[str] = []
    while sum("share.granted" in line for line in lines) < count:
        lines.append(follower.stdout.readline())
        assert lines[-1], "the follower has ended"
    return lines


def over_restarts(
    daemon: Daemon, follower: subprocess.Popen[str], how: signal.Signals
) -> list[str]:
    """What a follower prints of shares that are granted before, between and after two restarts."""
    lines = []
    for number in range(3):
        create(daemon, f"s{number}")
        if number % 2 == 0:  # the last one of before a restart is read before it, or after it
            lines += lines_until(follower, 1)
        if number < 2:
            daemon.stop(how)
            daemon.start()
    lines += lines_until(follower, 1)
    return lines


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_events_of_python_go_on_without_loss_or_doubling(
    daemon: Daemon, how: signal.Signals
) -> None:
    with daemon.machine.start(sys.executable, "-c", EVENTS, env=daemon.environment) as program:
        lines = over_restarts(daemon, program, how)
        program.send_signal(signal.SIGINT)
        program.wait(60)

    seen = [int(line.split()[0]) for line in lines]
    assert seen == list(range(1, seen[-1] + 1))
    assert sum("share.granted" in line for line in lines) == 3


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_followed_audit_log_goes_on_without_loss_or_doubling(
    daemon: Daemon, how: signal.Signals
) -> None:
    follow = ("audit", "ls", "-f", "-o", "jsonl")
    with daemon.spawn(*follow) as follower:
        lines = over_restarts(daemon, follower, how)
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=60)

    seen = [json.loads(line)["seq"] for line in lines]
    assert seen == list(range(1, seen[-1] + 1))
    assert sum("share.granted" in line for line in lines) == 3
    assert follower.returncode == 130


def test_a_followed_audit_log_ends_when_the_daemon_stays_away(daemon: Daemon) -> None:
    with daemon.spawn("audit", "ls", "-f", "-o", "jsonl", "--reconnect", "1s") as follower:
        create(daemon, "s")
        lines_until(follower, 1)
        daemon.kill()
        _, err = follower.communicate(timeout=60)

    assert follower.returncode == 6
    assert "the daemon is away" in err
    assert "GS1401" in err
    daemon.start()


@pytest.mark.parametrize("command", [("ps",), ("show", "s"), ("quota", "ls")])
def test_what_is_watched_goes_on(daemon: Daemon, command: tuple[str, ...]) -> None:
    create(daemon, "s")
    with daemon.spawn(*command, "--watch", "-o", "jsonl") as watcher:
        assert watcher.stdout is not None
        assert watcher.stderr is not None
        assert watcher.stdout.readline()
        daemon.kill()
        until(lambda: "the daemon is away" in watcher.stderr.readline(), "what it says")
        daemon.start()
        until(lambda: "the daemon is back" in watcher.stderr.readline(), "what it says")
        assert watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=60)

    assert watcher.returncode == 130
