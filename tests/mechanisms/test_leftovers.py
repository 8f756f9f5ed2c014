# SPDX-License-Identifier: Apache-2.0
"""What shares that are no more have left in files, control groups and MPS folders."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from gpushare.guard import GpuPage, Region, RegionGrant, SharePolicy, Swap, library_path
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.ports import home_of
from gpushare.mechanisms.compute_lock import ComputeLock
from gpushare.mechanisms.guard.living import LivingSlots
from gpushare.mechanisms.leftovers import KnownShares, Leftovers
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.leftover import Kind
from gpushare.model.units import GIB, MIB, Bytes
from support.mechanics import PROGRAM
from support.modes import Modes
from support.regions import LIFE, NAMESPACE, living, put_slot
from support.shares import GPU

LIVING, GONE = ShareId("aaaaaaaaaaaa"), ShareId("bbbbbbbbbbbb")
KNOWN = KnownShares(living={LIVING}, ended={GONE}, users={1000})


@dataclass
class Groups:
    """Control groups as folders; `busy`: with processes in them."""

    folder: Path
    busy: set[str] = field(default_factory=set)

    def remove(self, name: str) -> bool:
        if name in self.busy:
            return False
        (self.folder / name).rmdir()
        return True

    def pids(self, name: str) -> tuple[int, ...]:
        return (7,)


@dataclass
class Daemons:
    """MPS daemons; one ends with its last holder."""

    held: dict[tuple[GpuId, ...], set[str]] = field(default_factory=dict)

    def holders(self):
        return {gpus: tuple(sorted(names)) for gpus, names in self.held.items()}

    def release(self, gpus, holder):
        self.held.get(gpus, set()).discard(holder)
        if not self.held.get(gpus, {1}):
            del self.held[gpus]


@pytest.fixture
def modes() -> Modes:
    return Modes()


@pytest.fixture
def remains(tmp_path, modes) -> Leftovers:
    for name in ("regions", "boards", "swap", "groups"):
        (tmp_path / name).mkdir()
    return Leftovers(
        regions=tmp_path / "regions",
        gpu_pages=tmp_path / "boards",
        pools=(tmp_path / "swap", tmp_path / "none"),
        groups=tmp_path / "groups",
        mps_folder=tmp_path / "mps",
        cgroups=Groups(tmp_path / "groups"),
        mps=Daemons(),
        locks=ComputeLock(modes, tmp_path / "exclusive"),
        living=LivingSlots(ProcProcesses()),
    )


def region(remains: Leftovers, name: str) -> Region:
    grant = RegionGrant(uuid=GPU, limit=Bytes(GIB))
    return Region.create(remains.regions / name, [grant])


def clean(remains: Leftovers, known: KnownShares = KNOWN) -> dict[str, str]:
    found = {one.name: remains.remove(one, known) for one in remains.find(known)}
    return {Path(name).name: because for name, because in found.items()}


def test_a_machine_without_remains_has_none(remains):
    region(remains, LIVING)
    (remains.groups / LIVING).mkdir()
    assert remains.find(KNOWN) == []


def test_folders_that_are_not_there_hold_nothing(remains, tmp_path):
    for folder in (remains.regions, remains.gpu_pages, remains.groups):
        folder.rmdir()
    assert remains.find(KNOWN) == []


def test_regions_of_shares_that_are_gone_go(remains):
    for name in (LIVING, GONE, f"{GONE}.new", f"{LIVING}.new"):
        region(remains, name)
    found = remains.find(KNOWN)
    assert {one.kind for one in found} == {Kind.REGION}
    assert all(one.uid == os.geteuid() and one.since for one in found)
    assert clean(remains) == {GONE: "", f"{GONE}.new": ""}
    assert sorted(path.name for path in remains.regions.iterdir()) == [LIVING, f"{LIVING}.new"]


def test_a_region_with_a_process_of_another_pid_namespace_stays(remains):
    put_slot(region(remains, GONE), pid=1, start=7, pid_namespace=NAMESPACE + 1)
    assert clean(remains) == {GONE: "processes 1 are counted in it: end them first"}


def test_a_region_with_a_living_process_stays(remains):
    gone = region(remains, GONE)
    put_slot(gone, pid=1, start=7, pid_namespace=NAMESPACE + 1, life=LIFE)
    with living(gone.path):
        assert clean(remains) == {GONE: "processes 1 are counted in it: end them first"}
    assert clean(remains) == {GONE: ""}


def test_a_region_that_is_counted_in_stays(remains, machine):
    env = {"LD_PRELOAD": str(library_path()), "GPUSHARE_REGION": str(region(remains, GONE).path)}
    words = {"env": {**machine.environment, **env}, "stdin": PIPE, "stdout": PIPE, "text": True}
    with Popen([sys.executable, PROGRAM], **words) as process:
        assert process.stdout.readline() == '{"result": 0}\n'
        (found,) = remains.find(KNOWN)
        assert remains.remove(found, KNOWN) == (
            f"processes {process.pid} are counted in it: end them first"
        )
        process.kill()
    assert clean(remains) == {GONE: ""}


def test_a_control_group_counts_only_where_the_share_was_ours(remains):
    (remains.groups / GONE).mkdir()
    (remains.groups / "cccccccccccc").mkdir()
    assert clean(remains) == {GONE: ""}
    region(remains, "cccccccccccc")
    assert set(clean(remains)) == {"cccccccccccc"}
    assert list(remains.groups.iterdir()) == []


def test_a_control_group_with_processes_stays(remains):
    (remains.groups / GONE).mkdir()
    remains.cgroups.busy.add(GONE)
    assert clean(remains) == {GONE: "processes 7 use it: end them first"}


def test_share_slots_of_ended_shares_are_freed_and_empty_gpu_pages_go(remains):
    both = GpuPage.create(remains.gpu_pages / "GPU-0", GpuId("GPU-0"))
    both.set_share(0, SharePolicy(share=LIVING))
    both.set_share(1, SharePolicy(share=GONE))
    GpuPage.create(remains.gpu_pages / "GPU-1", GpuId("GPU-1")).set_share(
        0, SharePolicy(share=GONE)
    )
    GpuPage.create(remains.gpu_pages / "GPU-2", GpuId("GPU-2"))
    (remains.gpu_pages / "GPU-3").write_bytes(b"no board")
    assert clean(remains) == {"GPU-0": "", "GPU-1": "", "GPU-2": ""}
    assert [slot.policy.share for slot in both.snapshot().share_slots] == [LIVING]
    assert sorted(path.name for path in remains.gpu_pages.iterdir()) == ["GPU-0", "GPU-3"]


def test_pools_of_users_without_shares_go(remains):
    for uid in ("1000", "2000"):
        (remains.pools[0] / uid).mkdir()
        Swap.create(remains.pools[0] / uid, Bytes(64 * MIB))
    (remains.pools[0] / "notes").write_text("of another user")
    (found,) = remains.find(KNOWN)
    assert (found.kind, found.memory) == (Kind.POOL, 64 * MIB)
    assert clean(remains) == {"2000": ""}
    assert sorted(path.name for path in remains.pools[0].iterdir()) == ["1000", "notes"]


def test_an_mps_daemon_whose_shares_are_all_gone_ends(remains):
    remains.mps.held = {(GpuId("GPU-0"),): {LIVING, GONE}, (GpuId("GPU-1"),): {GONE, "x"}}
    (found,) = remains.find(KNOWN)
    assert found.gpus == ("GPU-1",)
    assert remains.homes() == {"GPU-0", "GPU-1"}
    assert clean(remains) == {"GPU-1": ""}
    assert remains.homes() == {"GPU-0"}


def test_what_went_meanwhile_is_gone(remains):
    region(remains, GONE)
    found = remains.find(KNOWN)
    (remains.regions / GONE).unlink()
    assert [remains.remove(one, KNOWN) for one in found] == [""]


def test_the_compute_mode_that_was_set_for_a_share_that_is_gone_is_put_back(remains, modes) -> None:
    remains.locks.close(GPU, LIVING)
    assert clean(remains) == {}
    assert modes.compute_mode(GPU) is ComputeMode.EXCLUSIVE_PROCESS
    assert clean(remains, KnownShares(living=())) == {GPU: ""}
    assert modes.compute_mode(GPU) is ComputeMode.DEFAULT


def test_an_mps_daemon_of_several_gpus_whose_shares_are_gone_ends(remains):
    gpus = (GpuId("GPU-1"), GpuId("GPU-0"))
    remains.mps.held = {gpus: {GONE}, gpus[:1]: {LIVING}}
    (found,) = remains.find(KNOWN)
    assert found.gpus == gpus
    assert found.name.endswith(home_of(gpus))
    assert remains.homes() == {home_of(gpus), "GPU-1"}
    assert clean(remains) == {home_of(gpus): ""}
    assert remains.homes() == {"GPU-1"}
