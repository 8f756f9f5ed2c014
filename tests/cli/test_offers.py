# SPDX-License-Identifier: Apache-2.0
"""What is offered on GPUs whose compute mode or health limits it, and what users read about it."""

import json
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon, until

PROGRAM = Path(__file__).parents[1] / "support" / "cuda_program.py"

MODE = """
import sys, pynvml as n
n.nvmlInit()
n.nvmlDeviceSetComputeMode(n.nvmlDeviceGetHandleByIndex(0), int(sys.argv[1]))
"""
EXCLUSIVE_PROCESS, PROHIBITED = 3, 2


def set_mode(daemon: Daemon, mode: int) -> None:
    done = daemon.machine.python(MODE, str(mode))
    assert done.returncode == 0, done.stderr


def offered(daemon: Daemon) -> dict[str, str]:
    """The reason per mechanism that is not offered on the first GPU."""
    mechanisms = daemon.json("gpus")["items"][0]["mechanisms"]
    return {m["mechanism"]: m["reason"] for m in mechanisms if not m["available"]}


def test_a_gpu_for_one_process_is_shared_through_mps(daemon: Daemon) -> None:
    set_mode(daemon, EXCLUSIVE_PROCESS)
    assert "nvidia-smi -i 0 -c DEFAULT" in offered(daemon)["timeslice"]
    assert "mps" not in offered(daemon)
    listed = daemon.gpushare("gpus")
    assert "timeslice" not in listed.stdout
    assert "compute mode exclusive-process" in listed.stderr

    words = ("run", "-m", "4GiB", "--", sys.executable, PROGRAM)
    with daemon.spawn(*words, stdin=-1) as first, daemon.spawn(*words, stdin=-1) as second:
        for program in (first, second):
            out, err = program.communicate("look\n", timeout=60)
            assert json.loads(out.splitlines()[-1])["result"] == 0, err


def test_time_slicing_there_is_refused_with_the_command(daemon: Daemon) -> None:
    set_mode(daemon, EXCLUSIVE_PROCESS)
    done = daemon.gpushare("create", "-m", "4GiB", "--mechanism", "timeslice")
    assert done.returncode != 0
    assert "compute mode exclusive-process" in done.stderr
    assert "nvidia-smi -i 0 -c DEFAULT" in done.stderr


def test_a_prohibited_gpu_offers_nothing(daemon: Daemon) -> None:
    set_mode(daemon, PROHIBITED)
    assert "compute mode prohibited" in offered(daemon)["mps"]
    assert "GS1701" in daemon.gpushare("create", "-m", "4GiB").stderr


@pytest.mark.parametrize("fault", ["recovery=1", "recovery=4", "ecc=1", "xid=140"])
def test_a_gpu_that_needs_a_reset_takes_no_new_share_until_it_had_one(
    daemon: Daemon, fault: str
) -> None:
    assert daemon.gpushare("create", "-m", "1GiB", "--name", "older").returncode == 0
    daemon.machine.fault("gpu=0", fault)
    until(lambda: "reset" in offered(daemon).get("mps", ""), "the reason")
    listed = daemon.gpushare("gpus")
    assert "reset" in listed.stdout
    refused = daemon.gpushare("create", "-m", "1GiB", "--no-wait")
    assert "GPU 0, which needs" in refused.stderr
    assert "GS1702" in refused.stderr
    assert [share["name"] for share in daemon.shares()] == ["older"]
    daemon.machine.fault("gpu=0", "clear")
    until(lambda: not offered(daemon).get("mps"), "the GPU to be offered again")
    assert "reset" not in daemon.gpushare("gpus").stdout
    assert daemon.gpushare("create", "-m", "1GiB", "--no-wait").returncode == 0


def test_errors_of_programs_take_no_gpu_out(daemon: Daemon) -> None:
    for xid in (13, 31, 43, 45, 69):
        daemon.machine.fault("gpu=0", f"xid={xid}")
    until(lambda: daemon.json("gpus")["items"][0]["health"]["xids"], "the errors")
    assert "mps" not in offered(daemon)
    assert daemon.gpushare("create", "-m", "1GiB", "--no-wait").returncode == 0


def test_a_limit_below_a_context_is_refused_at_creation_and_later(daemon: Daemon) -> None:
    for size in ("1MiB", "300MiB", "499MiB"):
        done = daemon.gpushare("create", "-m", size)
        assert "a CUDA context costs 500 MiB on GPU 0" in done.stderr
        assert "GS1102" in done.stderr
    assert daemon.gpushare("create", "-m", "500MiB", "--name", "least").returncode == 0
    smaller = daemon.gpushare("update", "least", "-m", "100MiB")
    assert "a CUDA context costs 500 MiB on GPU 0" in smaller.stderr
