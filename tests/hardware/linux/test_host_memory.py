# SPDX-License-Identifier: Apache-2.0
"""The machine's own memory, as a made-up root describes it."""

from pathlib import Path

import pytest

from gpushare.hardware.linux.host_memory import LinuxHostMemory
from gpushare.model.units import GIB, KIB, Bytes

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs {root}/run tmpfs rw,nosuid 0 0
tmpfs {root}/run/a\\040b ext4 rw 0 0
"""


@pytest.fixture
def memory(tmp_path: Path) -> LinuxHostMemory:
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       1000 kB\nMemFree: 5 kB\n")
    (proc / "mounts").write_text(MOUNTS.format(root=tmp_path))
    return LinuxHostMemory(tmp_path)


def test_knows_how_much_there_is(memory: LinuxHostMemory) -> None:
    assert memory.total() == 1000 * KIB


def test_knows_what_stays_in_memory(memory: LinuxHostMemory, tmp_path: Path) -> None:
    assert memory.in_memory(tmp_path / "run" / "gpushare")
    assert memory.in_memory(tmp_path / "run")
    assert not memory.in_memory(tmp_path / "running")
    assert not memory.in_memory(tmp_path / "run" / "a b" / "c")
    assert not memory.in_memory(tmp_path)


def test_a_mount_that_is_there_is_kept(memory: LinuxHostMemory, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert memory.mount(tmp_path / "run", 1 << 20)
    assert list((tmp_path / "run").iterdir()) == []


def test_says_what_can_still_be_written(tmp_path: Path) -> None:
    assert LinuxHostMemory().room(tmp_path) > 0


def test_nothing_is_mounted_where_programs_would_not_see_it(tmp_path: Path) -> None:
    """A service of systemd has a mount namespace of its own."""
    for process, namespace in (("self", 2), ("1", 1)):
        link = tmp_path / "proc" / process / "ns" / "mnt"
        link.parent.mkdir(parents=True)
        link.symlink_to(f"mnt:[{namespace}]")
    (tmp_path / "proc/self/mounts").write_text("none / ext4 rw 0 0\n")
    folder = tmp_path / "pools"
    folder.mkdir()
    assert not LinuxHostMemory(tmp_path).mount(folder, Bytes(GIB))
    assert not folder.is_mount()
