# SPDX-License-Identifier: Apache-2.0
"""What holds on a share's GPU comes to hold on another one, and nothing of it stays behind."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from gpushare.guard import GpuPage, Region
from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.host_memory import LinuxHostMemory
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.ports import MemoryLimit
from gpushare.mechanisms.compute_lock import ComputeLock
from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.gpu_pages import GpuPages
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.guard.swap_pools import SwapPools, SwapSettings
from gpushare.mechanisms.stack import Mechanisms
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.share import Decision, Share
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB, Bytes
from support.modes import Modes
from support.shares import GPU, grant, share

from .test_driver_limit import Limits

OTHER = GpuId("GPU-51600000-0000-4000-8000-000000000002")
GUARDED = (MechanismName.TIMESLICE, MechanismName.GUARD)
THERE = Decision(grants=(grant(OTHER, compute=30),), mechanisms=GUARDED)


@pytest.fixture
def guarded(tmp_path: Path, cgroups: FsCgroups) -> Mechanisms:
    guard = Guard(
        tmp_path / "regions",
        lambda _: Bytes(500 * MIB),
        ProcProcesses(Path("/")),
        gpu_pages=GpuPages(tmp_path / "boards", SchedulingSettings()),
        pools=SwapPools(LinuxHostMemory(), SwapSettings()),
    )
    return Mechanisms((Timeslice(), guard), cgroups)


def places(folder: Path, one: Share) -> list[tuple[GpuId, int | None]]:
    return [
        (gpu.uuid, gpu.share_slot) for gpu in Region(folder / "regions" / one.id).snapshot().gpus
    ]


def share_slots(folder: Path, gpu: GpuId) -> list[str]:
    board = folder / "boards" / gpu
    return [s.policy.share for s in GpuPage(board).snapshot().share_slots] if board.exists() else []


def test_region_and_share_slot_change_their_gpu(guarded: Mechanisms, tmp_path: Path) -> None:
    one, two = share(by=GUARDED), share(by=GUARDED, id="ba9876543210")
    guarded.prepare(one)
    guarded.prepare(two)
    for _ in range(2):  # asked again it changes nothing
        guarded.move(one, THERE)
        assert places(tmp_path, one) == [(OTHER, 0)]
        assert (share_slots(tmp_path, GPU), share_slots(tmp_path, OTHER)) == ([two.id], [one.id])
    (slot,) = GpuPage(tmp_path / "boards" / OTHER).snapshot().share_slots
    assert slot.policy.limit == 3000


def test_a_move_is_undone_by_moving_back(guarded: Mechanisms, tmp_path: Path) -> None:
    one = share(by=GUARDED)
    guarded.prepare(one)
    guarded.move(one, THERE)
    assert one.decision is not None
    guarded.move(replace(one, decision=THERE), one.decision)
    assert places(tmp_path, one) == [(GPU, 0)]
    assert (share_slots(tmp_path, GPU), share_slots(tmp_path, OTHER)) == ([one.id], [])
    guarded.release(one)
    assert not any((tmp_path / "regions").iterdir())


def test_one_of_several_gpus_may_stay(guarded: Mechanisms, tmp_path: Path) -> None:
    third = GpuId("GPU-51600000-0000-4000-8000-000000000003")
    pair = share(grant(GPU), grant(OTHER), by=GUARDED)
    guarded.prepare(pair)
    guarded.move(pair, Decision(grants=(grant(OTHER), grant(third)), mechanisms=GUARDED))
    assert [gpu for gpu, _ in places(tmp_path, pair)] == [OTHER, third]
    assert [share_slots(tmp_path, gpu) for gpu in (GPU, OTHER, third)] == [[], [pair.id], [pair.id]]


def test_the_limits_of_the_driver_are_lifted_where_it_was(cgroups: FsCgroups) -> None:
    by = (MechanismName.TIMESLICE, MechanismName.DRIVER_LIMIT)
    limits, one = Limits(), share(by=by)
    mechanisms = Mechanisms((Timeslice(), DriverLimit(limits, cgroups)), cgroups)
    group = mechanisms.prepare(one).cgroup
    mechanisms.move(one, Decision(grants=(grant(OTHER, 2 * GIB),), mechanisms=by))
    held = MemoryLimit(soft=Bytes(2 * GIB), hard=Bytes(2 * GIB))
    assert limits.set == {(GPU, group): MemoryLimit(), (OTHER, group): held}


def test_a_gpu_that_was_shut_for_it_opens_and_the_other_shuts(
    cgroups: FsCgroups, tmp_path: Path
) -> None:
    modes = Modes(**{GPU: ComputeMode.DEFAULT, OTHER: ComputeMode.PROHIBITED})
    by = (MechanismName.EXCLUSIVE,)
    lock = ComputeLock(modes, tmp_path / "modes")
    mechanisms = Mechanisms((Exclusive(lock, lock=True),), cgroups)
    one, there = share(by=by), Decision(grants=(grant(OTHER),), mechanisms=by)
    mechanisms.prepare(one)
    mechanisms.move(one, there)
    assert modes.of == {GPU: ComputeMode.DEFAULT, OTHER: ComputeMode.EXCLUSIVE_PROCESS}
    mechanisms.release(replace(one, decision=there))
    assert modes.of == {GPU: ComputeMode.DEFAULT, OTHER: ComputeMode.PROHIBITED}
