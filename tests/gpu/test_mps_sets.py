# SPDX-License-Identifier: Apache-2.0
"""A share of two GPUs under MPS, as tests/daemon/test_real_mps_sets.py has it on simulated ones."""

import subprocess
import sys

import pytest

from support.daemon import Daemon, until

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]
TWO = ("-n", "2", "--mechanism", "mps", "-m", "8GiB", "-c", "30")
# Allocates 6 GiB, then 4 GiB, on each device, and says what the driver answered.
PROGRAM = """
import ctypes, sys
cuda, found = ctypes.CDLL("libcuda.so.1"), []
assert cuda.cuInit(0) == 0
count, pointer = ctypes.c_int(), ctypes.c_uint64()
cuda.cuDeviceGetCount(ctypes.byref(count))
for device in range(count.value):
    context = ctypes.c_void_p()
    assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
    assert cuda.cuCtxSetCurrent(context) == 0
    for gib in (6, 4):
        found.append(cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(gib << 30)))
print(*found, flush=True)
sys.stdin.read()
"""


def start(daemon: Daemon, name: str) -> subprocess.Popen[str]:
    command = (*TWO, "--name", name, "--", sys.executable, "-c", PROGRAM)
    return subprocess.Popen(
        [sys.executable, "-m", "gpushare.cli", "run", *command],
        env=daemon.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_shares_of_two_gpus_are_limited_on_each(pair: Daemon) -> None:
    programs = [start(pair, name) for name in ("one", "two")]
    try:
        assert [each.stdout and each.stdout.readline().strip() for each in programs] == [
            "0 2 0 2",
            "0 2 0 2",
        ]
        homes = {tuple(share["gpus"]) for share in pair.json("ps")["items"]}
        assert len(homes) == 1
        assert pair.share("one")["mechanism"] == ["mps", "guard"]
        until(lambda: pair.share("one")["memory"]["used"] >= 12 << 30, "its memory to be seen")
        verified = pair.gpushare("verify", "one", timeout=120)
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        for each in programs:
            each.communicate("")
    pair.until_empty()
