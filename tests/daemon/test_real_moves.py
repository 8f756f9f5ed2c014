# SPDX-License-Identifier: Apache-2.0
"""A real daemon moves real programs under the real guard, on a simulated GPU."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from support.cuda_memory import CUDA_MEMORY
from support.daemon import Daemon, until

# Fills memory with a byte, checks it all the time, tells how often, and ends with its input.
PROGRAM = (
    CUDA_MEMORY
    + """
import select
size, byte = int(sys.argv[1]) << 20, int(sys.argv[2])
at, checks = fill(size, byte), 0
while not select.select([sys.stdin], [], [], 0.01)[0]:
    check(at, size, byte)
    checks += 1
    print(checks, flush=True)
"""
)


@contextmanager
def program(
    daemon: Daemon, name: str, *options: str, mib: int = 64, byte: int = 7
) -> Iterator["subprocess.Popen[str]"]:
    process = daemon.spawn(
        "run", "--name", name, *options, "--", sys.executable, "-c", PROGRAM, str(mib), str(byte),
        stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=120)


def finish(process: "subprocess.Popen[str]") -> int:
    """Checks it made until it was asked to end; its memory was right in all of them."""
    out, err = process.communicate("end\n", timeout=60)
    assert process.returncode == 0, err
    return int(out.split()[-1])


def held(daemon: Daemon) -> int:
    """Bytes in use on the GPU."""
    return int(daemon.json("gpus")["items"][0]["memory"]["used"])


def checked(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_memory_leaves_the_gpu_and_comes_back_as_it_was(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB", mib=512) as process:
        checked(process)
        before = held(daemon)
        assert daemon.gpushare("suspend", "job").returncode == 0
        assert before - held(daemon) >= 512 << 20
        assert daemon.share("job")["state"] == "suspended"
        assert daemon.gpushare("resume", "job").returncode == 0
        assert held(daemon) == before
        moved = daemon.json("show", "job")["moved"]["memory"]
        assert moved["out_bytes"] == moved["in_bytes"] >= 512 << 20
        assert moved["out_seconds"] > 0
        assert finish(process) > 1


def test_a_daemon_that_restarts_finds_the_share_suspended(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB") as process:
        checked(process)
        daemon.gpushare("suspend", "job")
        daemon.kill()
        daemon.start()
        assert daemon.share("job")["state"] == "suspended"
        assert daemon.gpushare("resume", "job").returncode == 0
        assert finish(process) > 1


def test_a_program_killed_while_away_leaves_nothing(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB") as process:
        checked(process)
        daemon.gpushare("suspend", "job")
        process.send_signal(signal.SIGKILL)
        daemon.until_empty()
        assert not any((daemon.runtime / "regions").iterdir())


def test_others_use_the_room_meanwhile(daemon: Daemon) -> None:
    with program(daemon, "first", "-m", "80GiB", mib=64) as process:
        checked(process)
        assert daemon.gpushare("run", "-m", "80GiB", "--no-wait", "--", "true").returncode == 75
        daemon.gpushare("suspend", "first")
        daemon.gpushare("create", "-m", "80GiB", "--name", "second")
        refused = daemon.gpushare("resume", "--no-wait", "first")
        assert refused.returncode == 75
        assert "80 GiB of memory" in refused.stderr
        waiting = daemon.spawn("resume", "first")
        daemon.gpushare("rm", "second")
        out, _ = waiting.communicate(timeout=60)
        assert out == "first\n"
        assert finish(process) > 1


def test_deep_takes_the_context_too(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB") as process:
        checked(process)
        before = held(daemon)
        done = daemon.gpushare("suspend", "--deep", "job")
        assert done.returncode == 0, done.stderr
        assert before - held(daemon) > 256 << 20
        assert daemon.json("show", "job")["suspension"]["tier"] == "checkpoint"
        assert daemon.gpushare("resume", "job").returncode == 0
        assert finish(process) > 1


def test_what_cannot_be_suspended_says_so(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "whole")
    shown = daemon.json("show", "whole")["suspendable"]
    assert not shown["yes"]
    done = daemon.gpushare("suspend", "whole")
    assert done.returncode == 1
    assert "GS1704" in done.stderr
    assert shown["because"] in done.stderr


@pytest.mark.timeout(300)
def test_shares_that_take_turns_use_more_memory_than_there_is(unstarted) -> None:
    daemon, order = unstarted, []
    daemon.machine.environment["GPUSHARE_TURN_SECONDS"] = "1"
    # Both may have the whole GPU, so host memory has to hold one of them; they use 64 MiB.
    daemon.machine.environment["GPUSHARE_SWAP_MEMORY"] = str(144 << 30)
    daemon.start()
    with (
        program(daemon, "one", "--turns", byte=1) as one,
        program(daemon, "two", "--turns", byte=2) as two,
    ):
        checked(one)
        checked(two)

        def both_had_several() -> bool:
            running = [share["name"] for share in daemon.shares() if share["state"] == "running"]
            assert len(running) <= 1
            if running != order[-1:]:
                order.extend(running)
            return min(order.count("one"), order.count("two")) >= 3

        until(both_had_several, "turns to go round", 120)
        for name in ("one", "two"):
            share = daemon.json("show", name)
            assert share["memory"]["limit"] > 128 << 30
            assert share["moved"]["memory"]["out_seconds"] > 0
        assert finish(one) > 1
        assert finish(two) > 1
    daemon.until_empty()
    assert daemon.stop() == 0


def test_compute_changes_while_a_program_runs(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB", "-c", "50") as process:
        checked(process)
        assert daemon.gpushare("update", "job", "-c", "25", "-p", "low").returncode == 0
        share = daemon.json("show", "job")
        assert share["compute"]["limit"] == 25
        assert share["priority"] == share["gate"]["rank"] == "low"
        nothing = daemon.gpushare("update", "job")
        assert nothing.returncode == 2
        assert finish(process) > 1


def test_a_suspend_shows_how_far_it_is(daemon: Daemon) -> None:
    """One of two programs stands still, so the suspend stays half done for as long as it does."""
    with program(daemon, "job", "-m", "2GiB", mib=128) as first:
        checked(first)
        words = (sys.executable, "-c", PROGRAM, "128", "9")
        with daemon.spawn("exec", "job", "--", *words, stdin=subprocess.PIPE) as second:
            checked(second)
            os.kill(second.pid, signal.SIGSTOP)
            with daemon.spawn("suspend", "job") as suspending:
                move = until(lambda: half_done(daemon), "half of the memory to be away")
                assert suspending.stderr is not None
                err = ""
                while "128 MiB of 256 MiB moved off the GPU (50 %)" not in err:
                    err += suspending.stderr.readline()
                os.kill(second.pid, signal.SIGCONT)
                out, _ = suspending.communicate(timeout=60)
            done = daemon.json("show", "job")["move"]
            daemon.gpushare("resume", "job")
            finish(second)
        finish(first)

    assert (suspending.returncode, out, done) == (0, "job\n", None)
    assert move["way"] == "out"
    assert move["total"] == 2 * move["moved"]
    assert "host memory for 256 MiB of 256 MiB is not ready" in err


def half_done(daemon: Daemon) -> dict[str, Any] | None:
    move: dict[str, Any] | None = daemon.json("show", "job")["move"]
    return move if move and move["moved"] else None


def test_too_little_host_memory_is_said_before_anything_moves(daemon: Daemon) -> None:
    daemon.stop()
    bounded = {**daemon.machine.environment, "GPUSHARE_SWAP_MEMORY": "1GiB"}
    daemon.machine = replace(daemon.machine, environment=bounded)
    daemon.start()
    with program(daemon, "job", "-m", "4GiB", mib=1536) as process:
        checked(process)
        before = held(daemon)
        shown = daemon.json("show", "job")["suspendable"]
        listed = daemon.gpushare("ps", "-o", "wide").stdout
        done = daemon.gpushare("suspend", "job")
        events = daemon.log.read_text()
        assert held(daemon) == before
        finish(process)

    assert done.returncode == 75
    assert "GS1705" in done.stderr
    assert "512 MiB of that are missing; nothing has moved" in done.stderr
    assert "rolled_back" not in events
    assert not shown["yes"]
    because = "it needs 1.5 GiB of host memory, and 512 MiB of that are missing"
    assert shown["because"] == because
    assert f"no, because {because}" in listed
    assert because in done.stderr


def test_whether_a_share_can_be_suspended_follows_the_host_memory_that_others_take(
    unstarted: Daemon,
) -> None:
    daemon = unstarted
    daemon.machine.environment["GPUSHARE_SWAP_MEMORY"] = "1GiB"
    daemon.start()

    def able(name: str) -> bool:
        return bool(daemon.json("show", name)["suspendable"]["yes"])

    with (
        program(daemon, "first", "-m", "2GiB", mib=768) as first,
        program(daemon, "second", "-m", "2GiB", mib=512) as second,
    ):
        checked(first)
        checked(second)
        assert able("first")
        assert able("second")
        daemon.gpushare("suspend", "first")
        assert able("first")
        assert not able("second")
        assert daemon.gpushare("suspend", "second").returncode == 75
        daemon.gpushare("resume", "first")
        finish(first)
        until(lambda: able("second"), "host memory to be free again")
        done = daemon.gpushare("suspend", "second")
        assert done.returncode == 0, done.stderr
        daemon.gpushare("resume", "second")
        finish(second)
