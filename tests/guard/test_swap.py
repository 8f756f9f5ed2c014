# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from gpushare.guard import Swap
from gpushare.model.units import MIB, Bytes


@pytest.fixture
def pool(tmp_path: Path) -> Swap:
    return Swap.create(tmp_path, Bytes(8 * MIB), unit=Bytes(MIB))


def test_is_empty_when_it_is_made(pool: Swap) -> None:
    seen = pool.info()
    assert (seen.unit, seen.enabled, seen.ready, seen.taken) == (MIB, 8 * MIB, 0, 0)
    assert (pool.path / "data").stat().st_blocks == 0


def test_grows_and_shrinks_in_units(pool: Swap) -> None:
    pool.enable(Bytes(20 * MIB + 5))
    assert pool.info().enabled == 20 * MIB
    pool.enable(Bytes(2 * MIB))
    assert pool.info().enabled == 2 * MIB


def test_making_it_again_keeps_it(pool: Swap) -> None:
    pool.touch(Bytes(2 * MIB), 2)
    Swap.create(pool.path, Bytes(8 * MIB), unit=Bytes(MIB))
    assert pool.info().ready == 2 * MIB


def test_is_touched_ahead_as_far_as_it_goes(pool: Swap) -> None:
    assert pool.touch(Bytes(3 * MIB), 2) == 3 * MIB
    assert (pool.path / "data").stat().st_blocks * 512 >= 3 * MIB
    assert pool.touch(Bytes(100 * MIB), 2) == 8 * MIB


def test_the_dead_leave_nothing_where_no_process_was(pool: Swap) -> None:
    assert pool.reap() == 0


def test_files_are_their_users_alone(pool: Swap) -> None:
    assert {path.stat().st_mode & 0o777 for path in pool.path.iterdir()} == {0o600}


def test_a_folder_that_is_no_pool_is_refused(tmp_path: Path) -> None:
    pool = Swap(tmp_path)
    for use in (pool.info, pool.reap, lambda: pool.enable(Bytes(MIB))):
        with pytest.raises(FileNotFoundError):
            use()
    (tmp_path / "table").write_bytes(b"x")
    (tmp_path / "data").touch()
    with pytest.raises(OSError, match="layout of this version"):
        pool.info()
