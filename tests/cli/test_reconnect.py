# SPDX-License-Identifier: Apache-2.0
"""Commands that wait go on when the daemon has been away."""

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
        code = late.wait(30)
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
