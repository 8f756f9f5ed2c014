# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from gpushare.guard import Region
from gpushare.hardware.processes import ProcProcesses
from gpushare.mechanisms.guard import Guard
from gpushare.model.errors import GuardMissingError, HardwareError, RegionCorruptError
from gpushare.model.ids import GpuId
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB, Bytes
from support.shares import GPU, grant, share

BY = (MechanismName.TIMESLICE, MechanismName.GUARD)
ONE = share(by=BY)


def context(gpu: GpuId) -> Bytes:
    return Bytes(500 * MIB)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(tmp_path / "regions", context, ProcProcesses(Path("/")))


def test_a_region_is_made_and_removed(guard: Guard, tmp_path: Path) -> None:
    edits = guard.prepare(ONE, [grant(limit=4 * GIB)])
    path = Path(edits.env["GPUSHARE_REGION"])
    assert path == tmp_path / "regions" / ONE.id
    assert edits.env["GPUSHARE_SHARE"] == ONE.id
    assert [Path(one).name for one in edits.preload] == ["libgpushare.so"]
    (gpu,) = Region(path).snapshot().gpus
    assert (gpu.uuid, gpu.limit, gpu.context, gpu.used) == (GPU, 4 * GIB, 500 * MIB, 0)
    assert path.stat().st_mode & 0o077 == 0, "a share's counters are its user's alone"
    guard.release(ONE)
    guard.release(ONE)
    assert not any((tmp_path / "regions").iterdir())


def test_a_region_cut_short_is_removed(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / "regions").mkdir()
    (tmp_path / "regions" / f"{ONE.id}.new").touch()
    guard.release(ONE)
    assert not any((tmp_path / "regions").iterdir())


def test_preparing_again_keeps_the_counters(guard: Guard) -> None:
    path = Path(guard.prepare(ONE, [grant(limit=4 * GIB)]).env["GPUSHARE_REGION"])
    before = path.stat().st_ino
    guard.prepare(ONE, [grant(limit=2 * GIB)])
    assert path.stat().st_ino == before
    assert Region(path).snapshot().gpus[0].limit == 2 * GIB


def test_a_limit_changes_while_the_share_lives(guard: Guard) -> None:
    guard.prepare(ONE, [grant("GPU-a", GIB), grant("GPU-b", GIB)])
    guard.adjust(ONE, [grant("GPU-b", 3 * GIB)])
    seen = Region(guard._path(ONE)).snapshot()
    assert [gpu.limit for gpu in seen.gpus] == [GIB, 3 * GIB]


def test_a_share_that_did_nothing_is_observed(guard: Guard) -> None:
    guard.prepare(ONE, [grant()])
    seen = guard.observe(ONE)
    assert (seen.used, seen.peak) == ({GPU: 0}, {GPU: 0})
    assert (seen.pids, seen.denied, seen.fault) == ((), 0, "")


def test_a_region_that_is_gone_is_a_fault(guard: Guard) -> None:
    guard.prepare(ONE, [grant()])
    guard._path(ONE).unlink()
    assert "cannot be read" in guard.observe(ONE).fault


def test_a_region_that_somebody_overwrote_is_a_fault_and_can_be_released(guard: Guard) -> None:
    guard.prepare(ONE, [grant()])
    guard._path(ONE).write_bytes(b"x" * 100)
    assert "is no region" in guard.observe(ONE).fault
    with pytest.raises(RegionCorruptError):
        guard.prepare(ONE, [grant()])
    guard.release(ONE)
    assert guard.prepare(ONE, [grant()]).preload


def test_a_folder_that_cannot_be_made_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "regions").write_text("a file")
    with pytest.raises(HardwareError) as caught:
        Guard(tmp_path / "regions", context, ProcProcesses(Path("/"))).prepare(ONE, [grant()])
    assert "exists" in caught.value.because


def test_a_missing_library_is_said_before_anything_is_made(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUSHARE_NATIVE", str(tmp_path))
    with pytest.raises(GuardMissingError):
        guard.prepare(ONE, [grant()])
    assert not (tmp_path / "regions").exists()
    guard.release(ONE)


def test_the_region_belongs_to_the_user_of_the_share(guard: Guard) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    import msgspec  # noqa: PLC0415

    theirs = msgspec.structs.replace(ONE, uid=65534, gid=65534)
    path = Path(guard.prepare(theirs, [grant()]).env["GPUSHARE_REGION"])
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
