# SPDX-License-Identifier: Apache-2.0
"""Host memory for suspended shares: one pool per user, all within one bound."""

import os
from pathlib import Path

import pytest

from gpushare.guard import Flag, Swap
from gpushare.mechanisms.guard.swap_pools import SwapPools, SwapSettings
from gpushare.model.units import GIB, Bytes
from support.regions import leased

ME, GROUP = os.geteuid(), os.getegid()


class Memory:
    """Says of a folder what the test wants."""

    def __init__(self, room: int = 100 * GIB, *, in_memory: bool = True) -> None:
        self.free, self.tmpfs = Bytes(room), in_memory
        self.mounted: list[Path] = []

    def total(self) -> Bytes:
        return Bytes(64 * GIB)

    def available(self) -> int:
        return 1 << 40

    def in_memory(self, path: Path) -> bool:
        return self.tmpfs

    def room(self, path: Path) -> Bytes:
        return self.free

    def mount(self, path: Path, size: Bytes) -> bool:
        self.mounted.append(path)
        return True


def pools(folder: Path, memory: int = 10 * GIB, ahead: int = 0, host: Memory | None = None):
    swapping = SwapSettings(folder=folder / "swap", memory=Bytes(memory), ahead=Bytes(ahead))
    return SwapPools(host or Memory(), swapping)


def enabled(path: Path | None) -> int:
    assert path is not None
    return Swap(path).info().enabled


def test_a_user_gets_what_their_shares_may_have(tmp_path):
    found = pools(tmp_path)
    assert enabled(found.open(ME, GROUP, Bytes(4 * GIB))) == 4 * GIB
    assert enabled(found.open(ME, GROUP, Bytes(6 * GIB))) == 6 * GIB


def test_users_have_pools_of_their_own_within_one_bound(tmp_path):
    found = pools(tmp_path)
    mine, other = found.open(ME, GROUP, Bytes(7 * GIB)), found.open(4242, 4242, Bytes(7 * GIB))
    assert mine != other
    assert (enabled(mine), enabled(other)) == (7 * GIB, 3 * GIB)
    assert found.open(4343, 4343, Bytes(GIB)) is None


def test_files_belong_to_the_user_and_their_folder_does_not(tmp_path):
    if ME != 0:
        pytest.skip("only root can give files away")
    path = pools(tmp_path).open(4242, 4242, Bytes(GIB))
    assert path.stat().st_uid == 0
    assert {file.stat().st_uid for file in path.iterdir()} == {4242}


def test_what_shares_need_no_more_is_given_back(tmp_path):
    found = pools(tmp_path)
    path = found.open(ME, GROUP, Bytes(7 * GIB))
    found.close(ME, Bytes(2 * GIB))
    assert enabled(path) == 2 * GIB
    found.close(ME, Bytes(0))
    assert not path.exists()
    found.close(ME, Bytes(0))


def test_a_pool_that_was_cut_short_is_made_again(tmp_path):
    found = pools(tmp_path)
    path = found.open(ME, GROUP, Bytes(GIB))
    (path / "table").write_bytes(b"")
    assert enabled(found.open(ME, GROUP, Bytes(GIB))) == GIB


def test_the_file_system_bounds_it_too(tmp_path):
    assert enabled(pools(tmp_path, host=Memory(3 * GIB)).open(ME, GROUP, Bytes(7 * GIB))) == 3 * GIB


@pytest.mark.parametrize(
    "host", [Memory(GIB - 1), Memory(in_memory=False)], ids=["too small", "on a disk"]
)
def test_where_there_is_no_place_programs_bring_their_own(tmp_path, host):
    assert pools(tmp_path, host=host).open(ME, GROUP, Bytes(GIB)) is None


def test_none_is_kept_where_none_is_wanted(tmp_path):
    assert pools(tmp_path, memory=0).open(ME, GROUP, Bytes(GIB)) is None
    assert not (tmp_path / "swap").exists()


def test_elsewhere_than_below_run_nothing_is_mounted(tmp_path):
    host = Memory()
    pools(tmp_path, host=host).open(ME, GROUP, Bytes(GIB))
    assert host.mounted == []


def test_memory_is_made_ready_ahead(tmp_path, until):
    found = pools(tmp_path, ahead=64 << 20)
    path = found.open(ME, GROUP, Bytes(GIB))
    until(lambda: Swap(path).info().ready == 64 << 20, "the pool to be touched")
    assert found.flags == Flag.MOVABLE | Flag.AHEAD


def test_a_folder_of_another_user_is_not_used(tmp_path):
    if ME != 0:
        pytest.skip("only root can give folders away")
    (tmp_path / "swap").mkdir()
    os.chown(tmp_path / "swap", 4242, 4242)
    path = pools(tmp_path).open(ME, GROUP, Bytes(GIB))
    assert path is None or not path.is_relative_to(tmp_path)
    pools(tmp_path).close(ME, Bytes(0))


def test_no_act_waits_for_a_lease_on_the_pool(tmp_path):
    """open() would wait 45 s, until the kernel takes the lease away. The pool is used as it is."""
    found = pools(tmp_path)
    path = found.open(ME, GROUP, Bytes(2 * GIB))
    with leased(path / "table", path / "data"):
        with pytest.raises(BlockingIOError, match="a process has a lease on it"):
            Swap(path).info()
        assert found.open(ME, GROUP, Bytes(3 * GIB)) == path
        found.reap()
        found.close(ME, Bytes(GIB))
    assert enabled(path) == 2 * GIB
