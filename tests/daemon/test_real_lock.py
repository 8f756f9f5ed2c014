# SPDX-License-Identifier: Apache-2.0
"""Exclusive shares whose GPU the driver keeps for them, on a real daemon."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import Machine
from support.mechanics import PROGRAM

UNAVAILABLE = 46
DEFAULT, EXCLUSIVE = 0, 3
MODE = """
import sys, pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
for mode in sys.argv[1:]:
    pynvml.nvmlDeviceSetComputeMode(gpu, int(mode))
print(pynvml.nvmlDeviceGetComputeMode(gpu))
"""
SETTING = {"GPUSHARE_EXCLUSIVE_COMPUTE_MODE": "true", "GPUSHARE_RECONCILE_INTERVAL": "0.2"}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may set the compute mode")


@pytest.fixture
def locking(machine: Machine, short_path: Path) -> Iterator[Daemon]:
    environment = {**machine.environment, **SETTING, "GPUSHARE_PROOF_INTERVAL": "0.2"}
    found = Daemon(Machine(machine.profile, environment, machine.image), short_path)
    found.start()
    yield found
    found.stop()


def mode(daemon: Daemon, *to: int) -> int:
    done = daemon.machine.python(MODE, *map(str, to))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@contextmanager
def program(daemon: Daemon, *command: str) -> Iterator[int]:
    """How the context of a CUDA program ended, which lives until the block is left."""
    words = (*command, sys.executable, str(PROGRAM))
    with subprocess.Popen(
        words,
        env={**daemon.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield json.loads(line)["result"] if line else -1
        finally:
            process.kill()


def inside(daemon: Daemon, share: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gpushare.cli", "exec", share, "--")


def test_the_driver_keeps_programs_outside_the_share_away(locking: Daemon) -> None:
    locking.gpushare("create", "--name", "alone")
    assert locking.share("alone")["enforcement"]["memory"] == "enforced"
    assert mode(locking) == EXCLUSIVE
    with program(locking, *inside(locking, "alone")) as own, program(locking) as other:
        assert (own, other) == (0, UNAVAILABLE)
        busy = locking.json("verify", "alone")
    idle = locking.json("verify", "alone")
    for found in (busy, idle):
        assert found["ok"]
        memory = next(one for one in found["findings"] if one["dimension"] == "memory")
        assert memory["delivered"] == "enforced"
        assert "refuses" in memory["evidence"]
    locking.gpushare("rm", "alone")
    locking.until_empty()
    assert mode(locking) == DEFAULT


def test_a_second_program_of_the_share_is_refused_in_words(locking: Daemon) -> None:
    locking.gpushare("create", "--name", "alone")
    with program(locking, *inside(locking, "alone")) as own:
        assert own == 0
        done = locking.gpushare("exec", "alone", "--", "true")
    assert done.returncode != 0
    assert "EXCLUSIVE_PROCESS" in done.stderr


@pytest.mark.parametrize("setting", ["true", "false"])
def test_the_mode_is_put_back_after_the_daemon_was_killed(locking: Daemon, setting: str) -> None:
    locking.gpushare("create", "--name", "alone")
    locking.kill()
    assert mode(locking) == EXCLUSIVE
    environment = {**locking.machine.environment, "GPUSHARE_EXCLUSIVE_COMPUTE_MODE": setting}
    locking.machine = Machine(locking.machine.profile, environment, locking.machine.image)
    locking.start()
    assert mode(locking) == EXCLUSIVE
    locking.gpushare("rm", "alone")
    locking.until_empty()
    assert mode(locking) == DEFAULT


def test_a_share_that_ended_while_the_daemon_was_away_leaves_no_mode(
    locking: Daemon, until: Callable[..., object]
) -> None:
    with locking.spawn("run", "--name", "brief", "--", "sleep", "600") as process:
        locking.until_state("brief", "running")
        locking.kill()
        process.kill()
    assert mode(locking) == EXCLUSIVE
    locking.start()
    until(lambda: mode(locking) == DEFAULT, "the mode to be put back")


def test_a_mode_that_another_tool_sets_is_seen_and_left(
    locking: Daemon, until: Callable[..., object]
) -> None:
    locking.gpushare("create", "--name", "alone")
    until(lambda: (locking.share("alone")["proof"] or {}).get("checks"), "its first proof")
    assert all(check["ok"] for check in locking.share("alone")["proof"]["checks"])
    assert mode(locking, DEFAULT) == DEFAULT
    until(
        lambda: locking.share("alone")["enforcement"]["memory"] == "reported", "the level to fall"
    )
    done = locking.gpushare("verify", "alone")
    assert done.returncode == 3, done.stdout
    until(lambda: "compute mode" in locking.gpushare("show", "alone").stdout, "the proof to fail")
    shown = locking.gpushare("ps", "-o", "wide").stdout
    assert "changed to default" in shown
    locking.gpushare("rm", "alone")
    locking.until_empty()
    assert mode(locking) == DEFAULT


def test_without_the_setting_an_outsider_gets_in_and_nothing_is_called_enforced(
    daemon: Daemon,
) -> None:
    daemon.gpushare("create", "--name", "open")
    assert mode(daemon) == DEFAULT
    found = daemon.json("verify", "open")
    memory = next(one for one in found["findings"] if one["dimension"] == "memory")
    assert found["ok"]
    assert (memory["promised"], memory["delivered"]) == ("cooperative", "cooperative")
    assert "outside the share" in memory["evidence"]
    strict = daemon.gpushare("run", "--isolation", "strong", "--", "true")
    assert strict.returncode != 0
    assert "exclusive_compute_mode" in strict.stderr
