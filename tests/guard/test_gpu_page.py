# SPDX-License-Identifier: Apache-2.0
import ctypes
import os
from pathlib import Path

import pytest

from gpushare.guard import GpuPage, Rank, SharePolicy, layout
from gpushare.mechanisms.shm_paths import shared
from gpushare.model.errors import GpuPageCorruptError
from gpushare.model.ids import GpuId, ShareId
from support.daemon import Daemon

GPU = GpuId("GPU-11111111-2222-3333-4444-555555555555")
ONE = SharePolicy(share=ShareId("0123456789ab"), rank=Rank.LOW, limit=2500, request=1000)


@pytest.fixture
def page(tmp_path: Path) -> GpuPage:
    return GpuPage.create(tmp_path / GPU, GPU)


def test_is_empty_when_it_is_made(page: GpuPage) -> None:
    found = page.snapshot()
    assert (found.uuid, found.share_slots, found.turns, found.preempt_bits) == (GPU, (), False, 0)


def test_leaves_no_draft_behind(page: GpuPage) -> None:
    assert list(page.path.parent.iterdir()) == [page.path]


def test_a_share_slot_is_given_changed_and_freed(page: GpuPage) -> None:
    page.set_share(5, ONE)
    (slot,) = page.snapshot().share_slots
    assert (slot.number, slot.policy, slot.turns, slot.busy_ns) == (5, ONE, 0, 0)
    changed = SharePolicy(share=ONE.share, rank=Rank.HIGH, grace_us=80, quantum_us=99, minimum=0)
    page.set_share(5, changed)
    assert page.snapshot().share_slots[0].policy == changed
    page.set_share(5, None)
    assert page.snapshot().share_slots == ()


def test_counters_of_a_share_slot_are_read(page: GpuPage) -> None:
    page.set_share(1, ONE)
    with page.path.open("r+b") as file:
        base = layout.GsGpuPage.share_slot.offset + ctypes.sizeof(layout.GsShareSlot)
        file.seek(base + layout.GsShareSlot.busy_ns.offset)
        file.write((77).to_bytes(8, "little"))
    assert page.snapshot().share_slots[0].busy_ns == 77


@pytest.mark.parametrize("number", [64, 1000])
def test_a_share_slot_that_does_not_exist_is_refused(page: GpuPage, number: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        page.set_share(number, ONE)


@pytest.mark.parametrize(("offset", "value"), [(0, b"NOTBOARD"), (8, b"\x63")])
def test_refuses_a_foreign_file(page: GpuPage, offset: int, value: bytes) -> None:
    with page.path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    for use in (page.snapshot, lambda: page.set_share(0, ONE)):
        with pytest.raises(GpuPageCorruptError) as refused:
            use()
        assert refused.value.because


def test_refuses_a_short_file(page: GpuPage) -> None:
    os.truncate(page.path, 100)
    with pytest.raises(GpuPageCorruptError):
        page.snapshot()


def test_a_pipe_in_its_place_does_not_hold_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        GpuPage(tmp_path / "pipe").snapshot()


def test_says_where_it_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        GpuPage.create(tmp_path / "missing" / "page", GPU)


def test_the_daemon_frees_slots_of_shares_that_it_does_not_know(daemon: Daemon, until) -> None:
    """An earlier state knew them; without this the page would be full after 64."""
    assert daemon.gpushare("create", "-m", "1GiB", "--name", "known").returncode == 0
    (share,) = daemon.shares()
    folder = daemon.runtime / "boards"
    folder = folder if folder.is_dir() else shared(folder)
    page = GpuPage(folder / share["gpus"][0])
    for number in range(40, 64):
        page.set_share(number, SharePolicy(share=ShareId(f"{number:012x}")))
    until(lambda: len(page.snapshot().share_slots) == 1, "the other slots to be freed")
    assert page.snapshot().share_slots[0].policy.share == share["id"]
    text = "24 shares that do not exist"
    until(lambda: text in daemon.log.read_text(), "the log to say it")
