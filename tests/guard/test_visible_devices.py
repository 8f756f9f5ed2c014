# SPDX-License-Identifier: Apache-2.0
"""CUDA_VISIBLE_DEVICES inside a share: numbers mean the share's own GPUs, and no value reaches
another GPU.
"""

import json
import sys
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGrant, library_path
from gpushare.model.ids import GpuId
from gpushare.model.units import GIB, Bytes
from support.machine import Machine

pytestmark = pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)

GPUS = "from gpushare.hardware.nvidia import checkpoint; print(*checkpoint._gpus())"
OWN = (5, 2)
ALL, NO_DEVICE = [0, 1], 100
# No driver reads them as one of two GPUs.
NONE = [
    *("", " ", ",", "-1", "2", "5", "8", "4294967296", "99999999999999999999", "0x0", "+0"),
    *("none", "all", "NoDevFiles", "GPU-", "MIG-", "0;1", "\u0660", "0,0"),
    *("x" * 5000, "GPU-" + "0" * 5000),
]
# What a program sees: the result of cuInit, its GPUs as places in the share, and the variable.
LOOK = """
import ctypes, json, os, sys
own, value = sys.argv[1].split(","), sys.argv[2:]
cuda, getenv = ctypes.CDLL("libcuda.so.1"), ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
if value:
    os.environ["CUDA_VISIBLE_DEVICES"] = value[0]
result, count, names = cuda.cuInit(0), ctypes.c_int(), []
if result == 0:
    cuda.cuDeviceGetCount(ctypes.byref(count))
for device in range(count.value):
    uuid = (ctypes.c_ubyte * 16)()
    cuda.cuDeviceGetUuid(ctypes.byref(uuid), device)
    names.append(bytes(uuid).hex())
plain = [name[4:].replace("-", "") for name in own]
left = getenv(b"CUDA_VISIBLE_DEVICES")
print(json.dumps([result, [plain.index(n) if n in plain else n for n in names],
                  left.decode() if left is not None else None]))
"""
CHILD = """
import os, subprocess, sys
import ctypes
ctypes.CDLL("libcuda.so.1").cuInit(0)
subprocess.run([sys.executable, "-c", *sys.argv[1:]])
"""


class Inside:
    """A share of the machine's GPUs 5 and 2, in that order."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.gpus = [GpuId(uuid) for uuid in machine.python(GPUS).stdout.split()]
        self.own = [self.gpus[index] for index in OWN]
        grants = [RegionGrant(uuid=uuid, limit=Bytes(GIB), context=Bytes(0)) for uuid in self.own]
        self.region = Region.create(folder / "region", grants)

    def run(self, *command: str, **env: str) -> object:
        guard = {"LD_PRELOAD": str(library_path()), "GPUSHARE_REGION": str(self.region.path)}
        ran = self.machine.run(*command, env={**guard, **env})
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def look(self, *value: str, **env: str) -> object:
        return self.run(sys.executable, "-c", LOOK, ",".join(self.own), *value, **env)


@pytest.fixture
def inside(machine: Machine, tmp_path: Path) -> Inside:
    return Inside(machine, tmp_path)


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("0", [0]),
        ("1", [1]),
        ("0,1", [0, 1]),
        ("1,0", [1, 0]),
        (" 1 , 0 ", [1, 0]),
        ("0,7", [0]),
        ("1,-1,0", [1]),
        ("01", [1]),
    ],
)
def test_a_number_is_a_gpu_of_the_share(inside: Inside, value: str, visible: list[int]) -> None:
    assert inside.look(CUDA_VISIBLE_DEVICES=value) == [0, visible, value]


@pytest.mark.parametrize(
    ("value", "visible"),
    [
        ("5,2", [0, 1]),
        ("2", [1]),
        ("2,5", [1, 0]),
        ("0,1", [0, 1]),
        ("0,2", [0, 1]),
        ("5,7", [0]),
    ],
)
def test_a_larger_number_is_a_gpu_of_the_share_by_its_place_in_the_machine(
    inside: Inside, value: str, visible: list[int]
) -> None:
    seen = inside.look(CUDA_VISIBLE_DEVICES=value, GPUSHARE_NUMBERS="5,2")
    assert seen == [0, visible, value]


@pytest.mark.parametrize("numbers", ["", ",", "x,y", "3", "-1,-1", "99999999999,2", "\u0662"])
def test_numbers_of_the_machine_that_make_no_sense_find_nothing(
    inside: Inside, numbers: str
) -> None:
    seen = inside.look(CUDA_VISIBLE_DEVICES="5", GPUSHARE_NUMBERS=numbers)
    assert seen == [NO_DEVICE, [], "5"]


@pytest.mark.parametrize("value", NONE)
def test_any_other_value_finds_no_device(inside: Inside, value: str) -> None:
    if value not in {"2", "5"}:
        known = inside.look(CUDA_VISIBLE_DEVICES=value, GPUSHARE_NUMBERS="5,2")
        assert known == [NO_DEVICE, [], value]
    assert inside.look(CUDA_VISIBLE_DEVICES=value) == [NO_DEVICE, [], value]


def test_a_uuid_has_to_be_of_the_share(inside: Inside) -> None:
    for place, uuid in enumerate(inside.own):
        assert inside.look(CUDA_VISIBLE_DEVICES=uuid) == [0, [place], uuid]
    for uuid in set(inside.gpus) - set(inside.own):
        assert inside.look(CUDA_VISIBLE_DEVICES=uuid) == [NO_DEVICE, [], uuid]
        assert inside.look(CUDA_VISIBLE_DEVICES=f"1,{uuid},0") == [0, [1], f"1,{uuid},0"]


def test_an_abbreviation_names_one_gpu(machine: Machine, tmp_path: Path) -> None:
    uuids = [GpuId(uuid) for uuid in machine.python(GPUS).stdout.split()]
    inside = Inside(machine, tmp_path)
    assert inside.look(CUDA_VISIBLE_DEVICES=inside.own[0][:-1]) == [NO_DEVICE, [], uuids[5][:-1]]


@pytest.mark.parametrize("order", ["PCI_BUS_ID", "FASTEST_FIRST", "nonsense"])
def test_the_order_of_devices_changes_no_number(inside: Inside, order: str) -> None:
    seen = inside.look(CUDA_VISIBLE_DEVICES="1,0", CUDA_DEVICE_ORDER=order)
    assert seen == [0, [1, 0], "1,0"]


def test_without_the_variable_all_gpus_of_the_share_are_visible(inside: Inside) -> None:
    assert inside.look() == [0, ALL, None]


def test_a_value_set_before_the_driver_starts_counts_and_stays(inside: Inside) -> None:
    assert inside.look("1", CUDA_VISIBLE_DEVICES="0") == [0, [1], "1"]
    assert inside.look(inside.gpus[0], CUDA_VISIBLE_DEVICES="0") == [
        NO_DEVICE,
        [],
        inside.gpus[0],
    ]


def test_the_child_of_a_program_on_the_gpu_reads_the_same_numbers(inside: Inside) -> None:
    own = ",".join(inside.own)
    seen = inside.run(sys.executable, "-c", CHILD, LOOK, own, CUDA_VISIBLE_DEVICES="1")
    assert seen == [0, [1], "1"]


def test_a_share_whose_region_is_gone_reaches_no_gpu(inside: Inside) -> None:
    inside.region.path.unlink()
    for value in ("0", inside.own[0], inside.gpus[0]):
        assert inside.look(CUDA_VISIBLE_DEVICES=value) == [NO_DEVICE, [], ""]
