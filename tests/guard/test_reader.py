# SPDX-License-Identifier: Apache-2.0
"""Shared files that are read often: what is parsed again, and what is not."""

import os
from pathlib import Path

import pytest

from gpushare.guard import GpuPage, Rank, Reader, Region, RegionGrant, SharePolicy, layout
from gpushare.model.errors import RegionCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import MIB, Bytes
from support.regions import LIFE, living, put_slot

GPU = GpuId("GPU-11111111-2222-3333-4444-555555555555")


@pytest.fixture
def region(tmp_path: Path) -> Region:
    return Region.create(tmp_path / "region", [RegionGrant(uuid=GPU, limit=Bytes(8 * MIB))])


def reader(region: Region) -> Reader:
    return Reader(region.path, region.parse)


def test_a_region_that_has_not_changed_is_not_parsed_again(region: Region) -> None:
    put_slot(region, pid=os.getpid())
    looks = reader(region)
    assert looks.snapshot() is looks.snapshot()
    assert looks.snapshot() == region.snapshot()


def test_every_change_of_a_region_is_seen(region: Region) -> None:
    looks = reader(region)
    for change in (
        lambda: region.set_limit(GPU, Bytes(MIB)),
        lambda: region.suspend(Bytes(0)),
        lambda: put_slot(region, pid=os.getpid()),
        lambda: put_slot(region, pid=os.getpid(), movable=4),
    ):
        before = looks.snapshot()
        change()
        assert looks.snapshot() != before
        assert looks.snapshot() == region.snapshot()


def test_the_end_of_a_process_is_seen_although_the_file_stays_the_same(region: Region) -> None:
    put_slot(region, pid=os.getpid(), life=LIFE)
    looks = reader(region)
    with living(region.path):
        assert [slot.lives for slot in looks.snapshot().slots] == [True]
    assert [slot.lives for slot in looks.snapshot().slots] == [False]


def test_another_file_in_its_place_is_read(region: Region) -> None:
    looks = reader(region)
    looks.snapshot()
    with region.path.open("r+b") as file:
        file.truncate(layout.GsRegion.slot.offset)
    with pytest.raises(RegionCorruptError):
        looks.snapshot()
    region.close()
    with pytest.raises(FileNotFoundError):
        looks.snapshot()
    Region.create(region.path, [RegionGrant(uuid=GPU, limit=Bytes(3 * MIB))])
    assert looks.snapshot().gpus[0].limit == 3 * MIB


def test_a_gpu_page_is_parsed_when_it_has_changed(tmp_path: Path) -> None:
    page = GpuPage.create(tmp_path / "page", GPU)
    looks = Reader(page.path, page.parse)
    before = looks.snapshot()
    assert looks.snapshot() is before
    page.set_share(3, SharePolicy(share=ShareId("one"), rank=Rank.HIGH, limit=1, request=1))
    assert [slot.number for slot in looks.snapshot().share_slots] == [3]
