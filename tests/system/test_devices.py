# SPDX-License-Identifier: Apache-2.0
"""The kernel keeps processes of a share from opening other GPUs' device nodes.

No driver is needed to see it: a node without one answers ENXIO, a node that the control group
denies answers EPERM.
"""

import errno
import os
from pathlib import Path

import pytest

from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.device_filter import CgroupDevices
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.units import GIB, Bytes

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root here"),
]
GPUS = tuple(
    Gpu(uuid=GpuId(f"GPU-{n}"), index=n, name="Node", memory_total=Bytes(GIB), minor=200 + n)
    for n in range(3)
)
MINE, OTHERS, CONTROL = 201, 202, 255


@pytest.fixture
def nodes(tmp_path):
    made = {}
    for minor in (MINE, OTHERS, CONTROL):
        made[minor] = tmp_path / f"nvidia{minor}"
        os.mknod(made[minor], 0o20666, os.makedev(195, minor))
        try:
            os.close(os.open(made[minor], os.O_RDWR))
        except OSError as error:
            if error.errno not in {errno.ENXIO, errno.ENODEV}:
                pytest.skip(f"device nodes cannot be opened here at all: {error}")
    return made


class OnlyV1(FsCgroups):
    """As on a machine that mounts no cgroup2: the mount table without it."""

    def __init__(self, tmp_path: Path) -> None:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        root = tmp_path / "root"
        (root / "proc/self").mkdir(parents=True)
        kept = [line for line in lines if " cgroup2 " not in line]
        (root / "proc/self/mountinfo").write_text("\n".join(kept))
        (root / "sys").symlink_to("/sys")
        super().__init__(root, f"/gpushare-test-{os.getpid()}")
        self._root = Path("/")


def groups(version: int, tmp_path: Path) -> FsCgroups:
    found = FsCgroups(parent=f"/gpushare-test-{os.getpid()}") if version == 2 else OnlyV1(tmp_path)
    if found.version != version:
        pytest.skip(f"no cgroup v{version} here")
    return found


def opened_inside(cgroups: FsCgroups, path: Path) -> int:
    """errno of opening the node as a process of the group."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 0
        try:
            assert cgroups.add("share", os.getpid())
            os.close(os.open(path, os.O_RDWR))
        except OSError as error:
            code = error.errno or 0
        except BaseException:  # noqa: BLE001 (a child of the test must not go on as the test)
            code = 255
        os.write(writer, bytes([code]))
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(reader, 1)[0]
    os.close(reader)
    os.close(writer)
    return found


@pytest.mark.parametrize("version", [2, 1])
def test_a_share_opens_its_own_gpus_only(nodes, version, tmp_path) -> None:
    cgroups = groups(version, tmp_path)
    devices = CgroupDevices(cgroups, lambda: GPUS)
    if because := devices.reason():
        pytest.skip(because)
    cgroups.create("share")
    try:
        expected = {2: (False, True), 1: (None, None)}[version]
        assert devices.in_force("share") is expected[0]
        devices.confine("share", {GpuId("GPU-1")})
        assert devices.in_force("share") is expected[1]
        assert opened_inside(cgroups, nodes[MINE]) in {errno.ENXIO, errno.ENODEV}
        assert opened_inside(cgroups, nodes[OTHERS]) == errno.EPERM
        assert opened_inside(cgroups, nodes[CONTROL]) in {errno.ENXIO, errno.ENODEV}

        for _ in range(3):  # a daemon that starts again confines again; nothing piles up
            devices.confine("share", {GpuId("GPU-2")})
        assert opened_inside(cgroups, nodes[MINE]) == errno.EPERM
        assert opened_inside(cgroups, nodes[OTHERS]) in {errno.ENXIO, errno.ENODEV}
    finally:
        assert cgroups.remove("share")


def test_a_process_with_a_filter_of_its_own_is_not_moved_out_of_it(tmp_path) -> None:
    cgroups = groups(1, tmp_path)
    cell = Path("/sys/fs/cgroup/devices") / f"cell-{os.getpid()}"
    cell.mkdir()
    child = os.fork()
    if not child:
        (cell / "cgroup.procs").write_text(str(os.getpid()))
        (cell / "devices.deny").write_text("a")
        os._exit(int(cgroups.add("share", os.getpid())))
    try:
        cgroups.create("share")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        cgroups.remove("share")
        cell.rmdir()
