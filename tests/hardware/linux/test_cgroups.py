# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from gpushare.hardware.linux.cgroups import FsCgroups, parse_mount
from gpushare.model.errors import CgroupError

V2 = "30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = "31 20 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw"
V1_PIDS = "40 20 0:30 / /sys/fs/cgroup/pids rw shared:6 - cgroup cgroup rw,pids"
V1_CPUSET = "41 20 0:31 / /sys/fs/cgroup/cpuset rw shared:7 - cgroup cgroup rw,cpuset"
OTHER = "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"
BOUND = "50 20 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw"


def machine(root: Path, mounts: list[str], own: str = "0::/user.slice\n") -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("\n".join(mounts) + "\n")
    (root / "proc/self/cgroup").write_text(own)
    for line in mounts:
        (root / line.split()[4].lstrip("/")).mkdir(parents=True, exist_ok=True)
    return root


@pytest.mark.parametrize(
    ("mounts", "version", "folder"),
    [
        ([OTHER, V2], 2, "sys/fs/cgroup/gpushare/abc"),
        ([OTHER, V1_CPUSET, V1_PIDS, HYBRID], 2, "sys/fs/cgroup/unified/gpushare/abc"),
        ([OTHER, V1_CPUSET, V1_PIDS], 1, "sys/fs/cgroup/pids/gpushare/abc"),
    ],
)
def test_the_hierarchy_is_found(
    tmp_path: Path, mounts: list[str], version: int, folder: str
) -> None:
    cgroups = FsCgroups(machine(tmp_path, mounts), uid=0)
    assert cgroups.version == version
    assert cgroups.create("abc") == str(tmp_path / folder)
    assert (tmp_path / folder).is_dir()


@pytest.mark.parametrize("mounts", [[OTHER], [OTHER, V1_CPUSET]])
def test_no_usable_hierarchy_is_a_reason(tmp_path: Path, mounts: list[str]) -> None:
    cgroups = FsCgroups(machine(tmp_path, mounts), uid=0)
    assert cgroups.version == 0
    assert cgroups.reason() == "no control groups are mounted"


def test_a_user_gets_what_was_delegated_to_them(tmp_path: Path) -> None:
    own = "3:pids:/elsewhere\n0::/user.slice/user-7.slice/x.scope\n"
    cgroups = FsCgroups(machine(tmp_path, [OTHER, V2], own), uid=7)
    below = "sys/fs/cgroup/user.slice/user-7.slice/x.scope/gpushare/abc"
    assert cgroups.create("abc") == str(tmp_path / below)


def test_a_user_on_v1_is_found_in_the_hierarchy_in_use(tmp_path: Path) -> None:
    own = "4:pids:/a\n3:cpuset:/b\n0::/c\n"
    cgroups = FsCgroups(machine(tmp_path, [OTHER, V1_PIDS], own), uid=7)
    assert cgroups.create("abc") == str(tmp_path / "sys/fs/cgroup/pids/a/gpushare/abc")


def test_a_chosen_parent_wins(tmp_path: Path) -> None:
    cgroups = FsCgroups(machine(tmp_path, [V2]), parent="/system.slice/gpushare.service", uid=0)
    expected = tmp_path / "sys/fs/cgroup/system.slice/gpushare.service/abc"
    assert cgroups.create("abc") == str(expected)


def test_a_part_of_the_hierarchy_may_be_all_that_is_mounted(tmp_path: Path) -> None:
    cgroups = FsCgroups(machine(tmp_path, [BOUND]), parent="/docker/abc/shares", uid=0)
    assert cgroups.create("x") == str(tmp_path / "sys/fs/cgroup/shares/x")


@pytest.mark.parametrize("line", ["", "1 2 3", OTHER, "a b c d e f - cgroup2"])
def test_other_mounts_are_none(line: str) -> None:
    assert parse_mount(line) is None


def test_read_only_control_groups_are_a_reason(tmp_path: Path) -> None:
    root = machine(tmp_path, [V2])
    (root / "sys/fs/cgroup").rmdir()
    (root / "sys/fs/cgroup").write_text("a file where the mount should be")
    cgroups = FsCgroups(root, uid=0)
    assert "Not a directory" in cgroups.reason()
    with pytest.raises(CgroupError) as caught:
        cgroups.create("abc")
    assert "Delegate" in caught.value.hint
    assert cgroups.add("abc", 1) is False
    assert cgroups.pids("abc") == ()
    assert cgroups.remove("abc") is True


def test_dmem_is_handed_down_without_a_gap(tmp_path: Path) -> None:
    root = machine(tmp_path, [V2])
    top = root / "sys/fs/cgroup"
    for group in (top, top / "a", top / "a/gpushare"):
        group.mkdir(exist_ok=True)
        (group / "cgroup.controllers").write_text("cpu dmem\n")
    FsCgroups(root, parent="/a/gpushare", uid=0).create("abc")
    for group in (top, top / "a", top / "a/gpushare"):
        assert (group / "cgroup.subtree_control").read_text() == "+dmem"


@pytest.fixture(params=[2, 1])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> FsCgroups:
    """This machine's own control groups, or its v1 hierarchies alone."""
    if request.param == 2:
        return FsCgroups()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    v1 = [line for line in mounts if " - cgroup " in line]
    root = tmp_path / "v1"
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("\n".join(v1))
    (root / "proc/self/cgroup").write_text(Path("/proc/self/cgroup").read_text())
    (root / "sys").symlink_to("/sys")
    return FsCgroups(root)


def test_a_real_group_holds_a_process_and_its_children(real: FsCgroups) -> None:
    cgroups = real
    if reason := cgroups.reason():
        pytest.skip(f"no control groups for us here: {reason}")
    name = f"test-{uuid4().hex[:12]}"
    folder = Path(cgroups.create(name))
    assert cgroups.create(name) == str(folder), "making it again changes nothing"
    process = subprocess.Popen(["sh", "-c", "read _; sleep 60 & wait"], stdin=subprocess.PIPE)
    try:
        assert cgroups.add(name, process.pid)
        assert process.pid in cgroups.pids(name)
        assert cgroups.remove(name) is False, "a group with processes stays"
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        while len(pids := cgroups.pids(name)) < 2:
            assert process.poll() is None
    finally:
        for pid in cgroups.pids(name):
            os.kill(pid, 9)
        process.communicate()
    assert len(pids) == 2
    assert cgroups.remove(name), "what was killed just now is waited for"
    assert cgroups.remove(name) is True, "removing what is gone is no error"
    assert cgroups.add(name, os.getpid()) is False


@pytest.mark.parametrize(
    ("group", "name"),
    [("/gpushare/abc", "abc"), ("/gpushare/abc/below", "abc"), ("/gpushare", None), ("/", None)],
)
def test_the_share_of_a_process_is_read_from_its_group(
    tmp_path: Path, group: str, name: str | None
) -> None:
    cgroups = FsCgroups(machine(tmp_path, [OTHER, V2]), uid=0)
    (tmp_path / "proc/77").mkdir()
    (tmp_path / "proc/77/cgroup").write_text(f"0::{group}\n")
    assert cgroups.name_of(77) == name
    assert cgroups.place_of(77) == group
    assert cgroups.name_of(78) is None


@pytest.mark.parametrize(
    ("place", "to"), [("/user.slice/s", "user.slice/s"), ("/gone", "."), ("", ".")]
)
def test_a_process_goes_back_to_where_it_was(tmp_path: Path, place: str, to: str) -> None:
    cgroups = FsCgroups(machine(tmp_path, [OTHER, V2]), uid=0)
    top = tmp_path / "sys/fs/cgroup"
    (top / "user.slice/s").mkdir(parents=True)
    cgroups.create("abc")
    cgroups.put_back(77, place)
    assert (top / to / "cgroup.procs").read_text() == "77\n"
