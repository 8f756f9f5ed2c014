# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from gpushare.hardware.linux.cgroups import FsCgroups

MOUNT = "30 20 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"


@pytest.fixture
def cgroups(tmp_path: Path) -> FsCgroups:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNT)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    return FsCgroups(tmp_path, uid=0)
