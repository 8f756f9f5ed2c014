# SPDX-License-Identifier: Apache-2.0
"""Faults of a simulated machine, as a program sees them through NVML."""

import sys

import pytest

from gpushare.hardware.simulated import machine as make
from gpushare.model.errors import HardwareError
from support.machine import Machine, clean_environment

POWER = """
import pynvml as n
try:
    n.nvmlInit()
    print(n.nvmlDeviceGetPowerUsage(n.nvmlDeviceGetHandleByIndex(0)) > 0)
except n.NVMLError as error:
    print(error.value)
"""


@pytest.mark.parametrize(
    ("fault", "code"), [(["gpu=0", "lost=1"], "15"), (["driver_mismatch=1"], "18")]
)
def test_a_fault_is_nvmls_error_until_it_is_healed(machine: Machine, fault: list[str], code: str):
    machine.fault(*fault)
    assert machine.python(POWER).stdout == f"{code}\n"

    machine.fault("clear")
    assert machine.python(POWER).stdout == "True\n"


def test_without_a_machine_there_is_no_driver(machine: Machine):
    environment = {**machine.environment, "GPUSHARE_SIM_MACHINE": "/nonexistent"}

    assert machine.python(POWER, env=environment).stdout == "9\n"


def test_an_xid_reaches_those_who_wait_for_events(machine: Machine):
    waiter = machine.start(
        sys.executable,
        "-c",
        "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "s = n.nvmlEventSetCreate();"
        "n.nvmlDeviceRegisterEvents(h, n.nvmlEventTypeXidCriticalError, s);"
        "print('ready', flush=True); print(n.nvmlEventSetWait(s, 20000).eventData)",
    )
    assert waiter.stdout is not None
    assert waiter.stdout.readline() == "ready\n"

    machine.fault("gpu=0", "xid=94")

    assert waiter.communicate(timeout=120)[0] == "94\n"


def test_an_uncorrectable_error_is_counted_and_asks_for_a_reset(machine: Machine):
    machine.fault("gpu=0", "ecc=1")

    done = machine.python(
        "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "print(n.nvmlDeviceGetTotalEccErrors(h, n.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,"
        "                                    n.NVML_VOLATILE_ECC),"
        "n.nvmlDeviceGetFieldValues(h, [n.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])[0].value.uiVal)"
    )

    assert done.stdout == "1 1\n", done.stderr


def test_nonsense_is_refused_with_the_message_of_the_tool():
    usage = "usage: gpushare-sim-machine fault"
    with make("h200-1") as simulated, pytest.raises(HardwareError, match=usage):
        simulated.fault("gpu=0", "mood=bad")


@pytest.mark.parametrize("profile", ["h200-1", "h200-r615"])
def test_memory_limits_exist_from_driver_615_on(profile: str, tmp_path):
    source = (
        "import sys, pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0);"
        "limits = n.c_nvmlGetMemoryLimits_v1_t(nameSpace=sys.argv[1].encode())\n"
        "try:\n"
        "    n.nvmlDeviceGetMemoryLimits_v1(h, limits)\n"
        "    print(limits.softLimit, limits.hardLimit == n.NVML_DEVICE_MEMORY_LIMIT_MAX)\n"
        "except n.NVMLError_FunctionNotFound: print('none')"
    )
    with make(profile) as simulated:
        here = Machine(profile, simulated.environment(clean_environment()), simulated.image)
        done = here.python(source, str(tmp_path))

    assert done.stdout == ("none\n" if profile == "h200-1" else "0 True\n"), done.stderr
