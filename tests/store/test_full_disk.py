# SPDX-License-Identifier: Apache-2.0
"""A disk that is full for real: shares still end, and new ones are refused."""

import os
import subprocess
from contextlib import closing

import pytest

from gpushare.model.errors import StateFullError
from gpushare.model.share import State
from gpushare.store import Store
from support.shares import stored as share

MIB = 1024**2


@pytest.fixture
def small_disk(tmp_path):
    """16 MiB, with a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder) -> None:
    with (folder / "others").open("ab") as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    os.write(file.fileno(), b"x" * size)
            except OSError:
                pass


def release(store, number) -> None:
    store.shares.move(share(number).id, State.RELEASED)


def test_shares_end_on_a_full_disk_and_new_ones_are_refused(small_disk):
    with closing(Store(small_disk / "state")) as store:
        for number in range(50):
            store.shares.add(share(number))
        fill(small_disk)
        for number in range(50):
            # The write that finds the disk full fails; the next pass has the reserve.
            try:
                release(store, number)
            except StateFullError:
                release(store, number)
        fill(small_disk)
        with pytest.raises(StateFullError) as caught:
            store.check_room()
        assert caught.value.code == "GS1602"
        (small_disk / "others").unlink()
        store.check_room()
        store.shares.add(share(50))
    with closing(Store(small_disk / "state")) as store:
        assert [living.id for living in store.shares.living()] == [share(50).id]
