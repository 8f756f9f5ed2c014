# SPDX-License-Identifier: Apache-2.0
"""A real daemon moves real programs under the real guard between two simulated GPUs."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gpushare.guard import GpuPage
from gpushare.model.ids import GpuId
from support.daemon import Daemon, until

from .test_real_moves import checked, finish, program

pytestmark = pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
MIB = 1 << 20
PROGRAM = Path(__file__).parents[1] / "support" / "cuda_program.py"
# Starts one program after the other, each for a line of its input: what a launcher of workers does.
LAUNCHER = f"""
import subprocess, sys
worker = [sys.executable, {str(PROGRAM)!r}]
for line in sys.stdin:
    print(subprocess.check_output(worker, input="look\\n", text=True).splitlines()[-1], flush=True)
"""


def used(daemon: Daemon) -> list[int]:
    return [int(gpu["memory"]["used"]) for gpu in daemon.json("gpus")["items"]]


def index_of(daemon: Daemon, share: str) -> int:
    (gpu,) = daemon.share(share)["gpus"]
    found = {item["uuid"]: item["index"] for item in daemon.json("gpus")["items"]}
    return int(found[gpu])


def gpu_pages_of(pid: int) -> Path:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return Path(dict(pair.split("=", 1) for pair in pairs if pair)["GPUSHARE_BOARDS"])


@contextmanager
def running(daemon: Daemon, *command: str) -> Iterator["subprocess.Popen[str]"]:
    process = daemon.spawn(*command, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=120)


def ask(process: "subprocess.Popen[str]", words: str) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(words + "\n")
    process.stdin.flush()
    return dict(json.loads(process.stdout.readline()))


def test_memory_is_as_it_was_on_the_other_gpu(daemon: Daemon) -> None:
    empty = used(daemon)
    with program(daemon, "job", "-m", "2GiB", mib=512) as process:
        checked(process)
        before = used(daemon)
        assert daemon.share("job")["migratable"] == {"yes": True, "because": ""}
        moved = daemon.gpushare("migrate", "job")
        assert (moved.returncode, moved.stdout) == (0, "job\n"), moved.stderr
        after = used(daemon)
        assert after[0] == empty[0]
        assert after[1] - empty[1] == before[0] - empty[0] >= 512 * MIB
        share = daemon.share("job")
        assert share["state"] == "running"
        assert share["memory"]["used"] >= 512 * MIB
        assert daemon.gpushare("migrate", "job", "--to", "0").returncode == 0
        assert used(daemon) == before
        assert finish(process) > 1
    daemon.until_empty()
    assert used(daemon) == empty


def test_its_limit_and_its_share_slot_come_along(daemon: Daemon) -> None:
    command = ("run", "--name", "job", "-m", "1GiB", "--", sys.executable, str(PROGRAM))
    with running(daemon, *command) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"result": 0}
        assert ask(process, "take 256")["held"] == 256 * MIB
        old, new = (GpuId(gpu["uuid"]) for gpu in daemon.json("gpus")["items"])
        assert daemon.gpushare("migrate", "job", "--to", new).returncode == 0
        full = ask(process, "take 4096")
        assert full["result"] == 2  # CUDA_ERROR_OUT_OF_MEMORY
        assert full["held"] < 1024 * MIB
        assert ask(process, "touch") == {"result": 0}
        assert ask(process, "look")["total"] == 1024 * MIB
        boards = gpu_pages_of(process.pid)
        (slot,) = GpuPage(boards / new).snapshot().share_slots
        assert slot.policy.share == daemon.share("job")["id"]
        assert not (boards / old).exists()


def test_workers_that_start_later_start_on_the_other_gpu(daemon: Daemon) -> None:
    command = ("run", "--name", "job", "-m", "1GiB", "--", sys.executable, "-c", LAUNCHER)
    with running(daemon, *command) as process:
        assert ask(process, "go")["result"] == 0
        assert daemon.gpushare("migrate", "job").returncode == 0
        here = ask(process, "go")
        assert (here["result"], here["total"]) == (0, 1024 * MIB)
        region = daemon.json("show", "job")
        assert index_of(daemon, "job") == 1
        assert region["memory"]["peak"] > 0


def test_one_that_is_away_comes_back_on_the_other_gpu(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "2GiB") as process:
        checked(process)
        assert daemon.gpushare("suspend", "--deep", "job").returncode == 0
        assert daemon.gpushare("migrate", "job", "--to", "1").returncode == 0
        assert daemon.share("job")["state"] == "suspended"
        assert daemon.gpushare("resume", "job").returncode == 0
        assert index_of(daemon, "job") == 1
        assert finish(process) > 1


def test_what_is_in_the_way_is_reported(daemon: Daemon) -> None:
    with program(daemon, "job", "-m", "8GiB") as process:
        checked(process)
        nobody = daemon.gpushare("migrate", "job", "--to", "7")
        assert (nobody.returncode, "GS1202" in nobody.stderr) == (4, True)
        same = daemon.gpushare("migrate", "job", "--to", "0")
        assert (same.returncode, index_of(daemon, "job")) == (0, 0)
        daemon.gpushare("create", "-m", "20GiB", "--gpu", "1", "--name", "other")
        full = daemon.gpushare("migrate", "job")
        assert (full.returncode, "GS1702" in full.stderr) == (75, True)
        bad = daemon.gpushare("migrate", "job", "--timeout", "soon")
        assert bad.returncode == 2
        assert finish(process) > 1


@pytest.mark.timeout(300)
def test_daemons_killed_at_any_moment_of_a_move_lose_no_program(daemon: Daemon) -> None:
    dice = random.Random(5)
    with program(daemon, "job", "-m", "2GiB", mib=256) as process:
        for _ in range(8):
            checked(process)
            transitions = daemon.spawn("migrate", "job")
            time.sleep(dice.random() * 0.6)
            daemon.kill()
            transitions.communicate(timeout=60)
            daemon.start()
            until(lambda: daemon.share("job")["state"] == "running", "the share to run", 30)
            there = index_of(daemon, "job")
            full = used(daemon)
            assert full[there] - full[1 - there] > 256 * MIB
        assert finish(process) > 8
    daemon.until_empty()
