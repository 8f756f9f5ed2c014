# SPDX-License-Identifier: Apache-2.0
"""Shares of several GPUs under MPS: one daemon for exactly these GPUs."""

import sys

import pytest

from gpushare.model.units import GIB
from support.daemon import until

from .test_real import left_behind, running

pytestmark = pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
FIRST, SECOND = (f"GPU-51600000-0000-4000-8000-00000000000{n}" for n in (1, 2))
LIMITED = "0 2 0 2"  # 3 GiB granted, 1 GiB out of memory, on each GPU
# Allocates 3 GiB, then 1 GiB, on each device, and says what the driver answered.
PROGRAM = """
import ctypes, sys
cuda, found = ctypes.CDLL("libcuda.so.1"), []
assert cuda.cuInit(0) == 0
count, pointer = ctypes.c_int(), ctypes.c_uint64()
cuda.cuDeviceGetCount(ctypes.byref(count))
for device in range(count.value):
    assert cuda.cuCtxCreate_v2(ctypes.byref(ctypes.c_void_p()), 0, device) == 0
    for gib in (3, 1):
        size = ctypes.c_size_t(gib << 30)
        found.append(cuda.cuMemAlloc_v2(ctypes.byref(pointer), size))
print(*found, flush=True)
sys.stdin.read()
"""
TWO = ("-n", "2", "--mechanism", "mps", "-m", "4GiB")


def program():
    return (sys.executable, "-c", PROGRAM)


def homes(daemon):
    return sorted(path.name for path in (daemon.runtime / "mps").iterdir())


def test_each_gpu_has_the_limit_and_a_killed_daemon_finds_it_again(daemon):
    with running(daemon, "--name", "two", *TWO, "-c", "30", program=program()) as (job, answers):
        assert answers == LIMITED
        (listed,) = daemon.json("ps")["items"]
        assert (listed["mechanism"], listed["gpus"]) == (["mps", "guard"], [FIRST, SECOND])
        until(lambda: daemon.share("two")["memory"]["used"] >= 6 * GIB, "its memory to be seen")
        assert daemon.gpushare("verify", "two").returncode == 0
        (home,) = homes(daemon)
        daemon.kill()
        daemon.start()
        assert daemon.until_state("two", "running")["pids"] == [job.pid]
        with running(daemon, *TWO, program=program()) as (_, other):
            assert other == LIMITED
            assert homes(daemon) == [home], "shares of the same GPUs have one daemon"
    daemon.until_empty()
    until(lambda: left_behind(daemon) == [], "everything to be gone")


def test_a_share_of_one_of_the_gpus_has_a_daemon_of_its_own(daemon):
    with (
        running(daemon, *TWO, program=program()),
        running(daemon, "--gpu", "0", "--mechanism", "mps", "-m", "4GiB") as (_, up),
    ):
        assert up == "up"
        assert len(homes(daemon)) == 2
        assert FIRST in homes(daemon)


def test_a_fault_of_the_set_spares_a_share_with_a_daemon_of_its_own(daemon):
    alone = ("--name", "alone", "--gpu", "0", "--mechanism", "mps", "-m", "4GiB")
    with (
        running(daemon, "--name", "set", *TWO, program=program()) as (job, _),
        running(daemon, *alone, program=program()) as (other, _),
    ):
        daemon.machine.fault("gpu=1", f"pid={job.pid}", "xid=31")
        until(lambda: "FAULT" in daemon.json("show", "set")["reason"], "the fault")
        assert other.poll() is None
        assert daemon.json("show", "alone")["reason"] == ""
