# SPDX-License-Identifier: Apache-2.0
"""Memory limits per control group, which driver 615 brought: set by NVML, held by the driver."""

import os
from pathlib import Path

import pytest

from support.machine import Machine

pytestmark = pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)

SET = """
import sys, pynvml as n
n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0)
wish = n.c_nvmlSetMemoryLimits_v1_t(nameSpace=sys.argv[1].encode(), softLimit=0,
                                    hardLimit=int(sys.argv[2]) << 20)
try: n.nvmlDeviceSetMemoryLimits_v1(h, wish)
except n.NVMLError as error: print(error.value)
"""

TAKE = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
cuda.cuInit(0)
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
size = ctypes.c_size_t(int(sys.argv[1]) << 20)
print(cuda.cuMemAlloc_v2(ctypes.byref(at), size), total.value >> 20)
"""


def take(machine: Machine, mib: int, cgroup: Path) -> list[int]:
    """The driver's answer to an allocation from inside `cgroup`, and the total it shows there."""
    done = machine.python(TAKE, str(mib), env={"GPUSHARE_SIM_CGROUP": str(cgroup)})
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    """Any directory passes for a control group; a process claims by variable to be in one."""
    below = tmp_path / "share" / "inner"
    below.mkdir(parents=True)
    return below.parent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set limits")
def test_a_limit_is_held_and_shown(machine: Machine, cgroup: Path):
    assert machine.python(SET, str(cgroup), "2048").stdout == ""

    assert take(machine, 1024, cgroup) == [0, 2048]
    assert take(machine, 2048, cgroup)[0] == 2, "the context counts too"
    assert take(machine, 2048, cgroup.parent)[0] == 0, "outside there is no limit"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set limits")
def test_below_the_limited_group_the_limit_holds_but_is_not_shown(machine: Machine, cgroup: Path):
    machine.python(SET, str(cgroup), "2048")

    result, total = take(machine, 2048, cgroup / "inner")

    assert result == 2
    assert total > 2048


def test_only_root_may_set_limits(machine: Machine, cgroup: Path):
    if os.geteuid() == 0:
        source = "import os, pynvml\nos.setresuid(65534, 65534, 65534)\n" + SET
        machine.image.parent.chmod(0o755)
        machine.image.chmod(0o666)
        cgroup.parent.chmod(0o755)
    else:
        source = SET

    assert machine.python(source, str(cgroup), "2048").stdout == "4\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set limits")
def test_a_group_that_does_not_exist_is_refused(machine: Machine, cgroup: Path):
    assert machine.python(SET, str(cgroup / "none"), "2048").stdout == "6\n"
