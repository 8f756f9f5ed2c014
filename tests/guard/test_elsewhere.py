# SPDX-License-Identifier: Apache-2.0
"""A program under the guard is restored on another GPU: it is counted and takes turns there."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGrant, library_path
from gpushare.guard.gpu_page import GpuPage, Rank, SharePolicy
from gpushare.model.errors import NoSuchGpuError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import GIB, MIB, Bytes
from support.machine import Machine, simulated
from support.native import program

CONTEXT = Bytes(100 * MIB)
LIST = "from gpushare.hardware.nvidia import checkpoint; print(*checkpoint._gpus())"
STEP = """
import sys
from gpushare.hardware.nvidia.checkpoint import CudaCheckpoints
driver, (what, pid, *gpus) = CudaCheckpoints(), sys.argv[1:]
if what == "out":
    driver.lock(int(pid), 30)
    driver.checkpoint(int(pid))
else:
    driver.restore(int(pid), dict(zip(gpus[::2], gpus[1::2])))
    driver.unlock(int(pid))
"""
LATER = """
import ctypes, sys
sys.stdin.readline()
cuda = ctypes.CDLL("libcuda.so.1")
cuda.cuInit(0)
context, uuid = ctypes.c_void_p(), (ctypes.c_ubyte * 16)()
cuda.cuDeviceGetUuid(ctypes.byref(uuid), 0)
print(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), bytes(uuid).hex())
"""


class Mover:
    """One share on the first of two GPUs."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.gpus = [GpuId(uuid) for uuid in machine.python(LIST).stdout.split()]
        self.boards = [GpuPage.create(folder / uuid, uuid) for uuid in self.gpus]
        self.region = Region.create(folder / "region", [self.grant(0)])

    def grant(self, gpu: int) -> RegionGrant:
        """It has share slot 3 on the first GPU's page, and share slot 5 on the second's."""
        number = 3 + 2 * gpu
        policy = SharePolicy(share=ShareId("share"), rank=Rank.NORMAL, limit=5000)
        self.boards[gpu].set_share(number, policy)
        return RegionGrant(
            uuid=self.gpus[gpu], limit=Bytes(GIB), context=CONTEXT, share_slot=number
        )

    def start(self, *command: str | Path) -> "subprocess.Popen[str]":
        env = {
            "LD_PRELOAD": str(library_path()),
            "GPUSHARE_REGION": str(self.region.path),
            "GPUSHARE_BOARDS": str(self.folder),
            "CUDA_VISIBLE_DEVICES": self.gpus[0],
        }
        return self.machine.start(*command, env=env, stdin=subprocess.PIPE)

    def move(self, pid: int, old: int, new: int) -> None:
        self._step("out", pid)
        self.region.move(0, self.grant(new))
        self.boards[old].set_share(3 + 2 * old, None)
        self._step("in", pid, self.gpus[old], self.gpus[new])

    def fences(self, gpu: int) -> int:
        share_slots = self.boards[gpu].snapshot().share_slots
        return sum(slot.fences + slot.waits for slot in share_slots)

    def _step(self, *words: object) -> None:
        done = self.machine.python(STEP, *map(str, words))
        assert done.returncode == 0, done.stderr


@pytest.fixture
def mover(tmp_path: Path) -> Iterator[Mover]:
    with simulated("a10-2") as machine:
        yield Mover(machine, tmp_path)


def test_it_attaches_to_the_other_gpu_page_and_comes_back_to_the_first(mover: Mover) -> None:
    process = mover.start(program("gate_test"), "work", "2000000")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for old, new in ((0, 1), (1, 0), (0, 1)):
        mover.move(process.pid, old, new)
        while mover.fences(new) == 0:
            assert process.poll() is None, process.communicate()
        assert mover.fences(old) == 0
    out, err = process.communicate("", timeout=60)
    assert process.returncode == 0, err
    assert int(out) > 0


def test_what_is_charged_stays_charged_under_the_new_name(mover: Mover) -> None:
    process = mover.start(program("gate_test"), "work", "2000000")
    assert process.stdout is not None
    process.stdout.readline()
    before = mover.region.snapshot().gpus[0]
    mover.move(process.pid, 0, 1)
    (after,) = mover.region.snapshot().gpus
    assert (after.uuid, after.share_slot) == (mover.gpus[1], 5)
    assert after.used == before.used >= CONTEXT
    process.communicate("", timeout=60)


def _plain(uuid: str) -> str:
    return uuid.removeprefix("GPU-").replace("-", "")


@pytest.mark.parametrize("value", ["number", "old", "new"])
def test_a_program_started_before_uses_the_gpu_that_the_share_is_on(
    mover: Mover, value: str
) -> None:
    name = {"number": "0", "old": mover.gpus[0], "new": mover.gpus[1]}[value]
    process = mover.start("env", f"CUDA_VISIBLE_DEVICES={name}", sys.executable, "-c", LATER)
    mover.region.move(0, mover.grant(1))
    out, err = process.communicate("go\n", timeout=60)
    assert out.split() == ["0", _plain(mover.gpus[1])], err
    assert mover.region.snapshot().unlisted == 0


def test_a_part_of_several_gpus_is_left_to_the_program(mover: Mover) -> None:
    region = Region.create(mover.folder / "region", [mover.grant(0), mover.grant(1)])
    region.move(0, mover.grant(0))
    only = f"CUDA_VISIBLE_DEVICES={mover.gpus[1]}"
    process = mover.start("env", only, sys.executable, "-c", LATER)
    assert process.communicate("go\n", timeout=60)[0].split() == [
        "0",
        _plain(mover.gpus[1]),
    ]


def test_a_map_names_all_gpus_whatever_the_daemon_was_shown(mover: Mover) -> None:
    shown = mover.machine.python(LIST, env={"CUDA_VISIBLE_DEVICES": "1"})
    assert shown.stdout.split() == mover.gpus


def test_a_gpu_that_the_region_has_not_is_refused(mover: Mover) -> None:
    with pytest.raises(NoSuchGpuError, match="number 1"):
        mover.region.move(1, mover.grant(1))
