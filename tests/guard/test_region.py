# SPDX-License-Identifier: Apache-2.0
import ctypes
import os
from pathlib import Path

import pytest

from gpushare.guard import Failure, Flag, Phase, Region, RegionGrant, layout, why_unmovable
from gpushare.model.errors import NoSuchGpuError, RegionCorruptError
from gpushare.model.ids import GpuId
from gpushare.model.units import MIB, Bytes
from support.regions import put_slot

A = GpuId("GPU-11111111-2222-3333-4444-555555555555")
B = GpuId("MIG-aaaaaaaa-2222-3333-4444-555555555555")


@pytest.fixture
def region(tmp_path: Path) -> Region:
    return Region.create(
        tmp_path / "region",
        [
            RegionGrant(uuid=A, limit=Bytes(8 * MIB), context=Bytes(2 * MIB)),
            RegionGrant(uuid=B, limit=Bytes(4 * MIB)),
        ],
    )


def test_holds_what_it_was_made_with_and_nothing_used(region: Region) -> None:
    seen = region.snapshot()
    assert [(gpu.uuid, gpu.limit, gpu.context) for gpu in seen.gpus] == [
        (A, 8 * MIB, 2 * MIB),
        (B, 4 * MIB, 0),
    ]
    assert all((gpu.used, gpu.peak, gpu.denied) == (0, 0, 0) for gpu in seen.gpus)
    assert (seen.slots, seen.unlisted, seen.unhooked) == ((), 0, 0)


def test_is_private_to_its_user(region: Region) -> None:
    assert region.path.stat().st_mode & 0o777 == 0o600


def test_leaves_no_draft_behind(region: Region) -> None:
    assert list(region.path.parent.iterdir()) == [region.path]


def test_changes_one_limit(region: Region) -> None:
    region.set_limit(B, Bytes(1 * MIB))
    assert [gpu.limit for gpu in region.snapshot().gpus] == [8 * MIB, 1 * MIB]
    with pytest.raises(NoSuchGpuError):
        region.set_limit(GpuId("GPU-0"), Bytes(1))


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, b"NOTAREGI"), (8, b"\x63"), (12, b"\x01"), (24, b"\x11"), (32, b"\xff\xff")],
    ids=["magic", "version", "header size", "too many GPUs", "too many slots"],
)
def test_refuses_a_foreign_file(region: Region, offset: int, value: bytes) -> None:
    with region.path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    for use in (lambda: Region.open(region.path), region.snapshot):
        with pytest.raises(RegionCorruptError) as refused:
            use()
        assert refused.value.because
        assert refused.value.hint


@pytest.mark.parametrize("size", [0, 100, ctypes.sizeof(layout.GsRegion) - 1])
def test_refuses_a_short_file(region: Region, size: int) -> None:
    os.truncate(region.path, size)
    with pytest.raises(RegionCorruptError):
        Region.open(region.path)
    with pytest.raises(RegionCorruptError):
        region.set_limit(A, Bytes(1))


def test_refuses_a_link(region: Region, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(region.path)
    with pytest.raises(OSError, match="symbolic links"):
        Region.open(link)
    with pytest.raises(OSError, match="symbolic links"):
        Region(link).set_limit(A, Bytes(1))


def test_says_where_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Region.create(tmp_path / "missing" / "region", [RegionGrant(uuid=A, limit=Bytes(1))])
    with pytest.raises(OSError, match="Invalid argument"):
        Region.create(tmp_path / "region", [])


def test_close_removes_it_once_and_for_all(region: Region) -> None:
    region.close()
    region.close()
    with pytest.raises(FileNotFoundError):
        region.snapshot()


def test_asks_for_leaving_and_for_coming_back_once_each(region: Region) -> None:
    assert region.snapshot().suspend == 0
    for _ in range(2):
        region.suspend(keep=Bytes(3 * MIB))
        assert region.snapshot().suspend == 1
    raw = layout.GsRegion.from_buffer_copy(region.path.read_bytes())
    assert [raw.gpu[0].keep, raw.gpu[1].keep] == [3 * MIB, 3 * MIB]
    for _ in range(2):
        region.resume()
        assert region.snapshot().suspend == 2


def test_carries_flags_and_share_slots(tmp_path: Path) -> None:
    grants = [
        RegionGrant(uuid=A, limit=Bytes(MIB), share_slot=0),
        RegionGrant(uuid=B, limit=Bytes(MIB)),
    ]
    region = Region.create(tmp_path / "region", grants)
    region.set_flags(Flag.MOVABLE | Flag.AHEAD)
    seen = region.snapshot()
    assert [gpu.share_slot for gpu in seen.gpus] == [0, None]
    assert seen.flags == Flag.MOVABLE | Flag.AHEAD


def test_limits_are_read_alone(region: Region, tmp_path: Path) -> None:
    assert region.limits() == {A: 8 * MIB, B: 4 * MIB}
    (tmp_path / "no").write_bytes(b"x" * 100)
    with pytest.raises(RegionCorruptError):
        Region(tmp_path / "no").limits()


def test_reads_how_a_process_moves(region: Region) -> None:
    put_slot(region, pid=7, phase=Phase.AWAY, unmovable=0b101, failure=2, away=5, moved=6, out_ns=9)
    (slot,) = region.snapshot().slots
    assert (slot.phase, slot.failure) == (Phase.AWAY, Failure.HOST_MEMORY)
    assert (slot.away, slot.moved, slot.out_ns) == (5, 6, 9)
    assert why_unmovable(slot.unmovable) == ("it uses managed memory", "it uses CUDA arrays")


def test_what_no_guard_writes_counts_as_running(region: Region) -> None:
    put_slot(region, pid=7, phase=99, unmovable=1 << 31, failure=99)
    (slot,) = region.snapshot().slots
    assert (slot.phase, slot.failure, why_unmovable(slot.unmovable)) == (
        Phase.RUNS,
        Failure.NONE,
        (),
    )


def test_a_pipe_in_the_place_of_a_region_does_not_hold_the_reader(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="no regular file"):
        Region.open(path)
