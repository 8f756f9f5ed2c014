# SPDX-License-Identifier: Apache-2.0
"""Folders in shared memory are ours, or not used."""

import os
from pathlib import Path

import pytest

from gpushare.mechanisms.shm_paths import ours, seen_by_gpus, shared


class Memory:
    def __init__(self, *folders: Path) -> None:
        self.folders = folders

    def available(self) -> int:
        return 1 << 40

    def in_memory(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self.folders)


SHM, RUN = Path("/dev/shm"), Path("/run/gpushare/boards")


def test_a_folder_in_memory_is_taken_as_it_is():
    assert seen_by_gpus(Memory(Path("/run"), SHM), RUN) == RUN


def test_one_on_a_disk_is_left_for_shared_memory():
    found = seen_by_gpus(Memory(SHM), RUN)
    assert found == shared(RUN)
    assert found.parent == SHM
    assert f"-{os.geteuid()}-" in found.name


def test_without_shared_memory_it_stays_where_it_is():
    assert seen_by_gpus(Memory(), RUN) == RUN


def test_daemons_do_not_meet_there():
    assert shared(Path("/a/boards")) != shared(Path("/b/boards"))


def test_links_files_and_folders_of_others_are_not_ours(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert ours(tmp_path / "folder")
    assert ours(tmp_path / "nothing")
    assert not ours(tmp_path / "link")
    assert not ours(tmp_path / "file")
    if os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    os.chown(tmp_path / "folder", 4242, 4242)
    assert not ours(tmp_path / "folder")
