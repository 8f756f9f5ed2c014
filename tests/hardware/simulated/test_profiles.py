# SPDX-License-Identifier: Apache-2.0
"""Every profile becomes a machine whose NVML tells what the profile says."""

import json

import msgspec
import pytest

from gpushare.hardware.simulated import MachineProfile, load_profile, profiles
from gpushare.hardware.simulated.profile import load_model
from gpushare.model.errors import UnknownProfileError
from support.machine import Machine

ALL = ("a10-2", "a100-mig", "dgx-h100", "h200-1", "h200-cc", "h200-r615", "l4-vgpu")

LIST = """
import json, pynvml as n
n.nvmlInit()
found = []
for i in range(n.nvmlDeviceGetCount()):
    h = n.nvmlDeviceGetHandleByIndex(i)
    memory = n.nvmlDeviceGetMemoryInfo(h, n.nvmlMemory_v2)
    found.append({
        "name": n.nvmlDeviceGetName(h), "uuid": n.nvmlDeviceGetUUID(h),
        "pci": n.nvmlDeviceGetPciInfo(h).busId, "total": memory.total, "used": memory.used,
        "reserved": memory.reserved, "cc": n.nvmlDeviceGetCudaComputeCapability(h),
    })
print(json.dumps({"driver": n.nvmlSystemGetDriverVersion(),
                  "cuda": n.nvmlSystemGetCudaDriverVersion(), "gpus": found}))
"""


def test_the_profiles_are_those_the_documentation_names():
    assert tuple(profiles()) == ALL


@pytest.mark.parametrize("machine", ALL, indirect=True)
def test_nvml_tells_what_the_profile_says(machine: Machine):
    profile = load_profile(machine.profile)
    model = load_model(profile.model)

    done = machine.python(LIST)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["driver"] == profile.driver
    major, minor = map(int, profile.cuda.split("."))
    assert found["cuda"] == major * 1000 + minor * 10
    assert [gpu["pci"][4:] for gpu in found["gpus"]] == [pci.upper() for pci in profile.pci]
    assert {gpu["name"] for gpu in found["gpus"]} == {model.name}
    assert {gpu["total"] for gpu in found["gpus"]} == {model.memory_mib << 20}
    assert {gpu["used"] for gpu in found["gpus"]} == {0}
    assert len({gpu["uuid"] for gpu in found["gpus"]}) == len(profile.pci)


def test_an_unknown_profile_lists_the_known_ones_and_suggests_the_nearest():
    with pytest.raises(UnknownProfileError) as caught:
        load_profile("h200")

    assert "dgx-h100" in caught.value.because
    assert caught.value.hint == "gpushare simulate h200-1"


def test_a_misspelt_key_of_a_profile_is_an_error():
    text = "description: x\ndriver: '580'\ncuda: '13.0'\nmodel: h200\npci: []\nnvlink: 3\n"

    with pytest.raises(msgspec.ValidationError, match="nvlink"):
        msgspec.yaml.decode(text, type=MachineProfile)


NVLINKS = """
hs = [n.nvmlDeviceGetHandleByIndex(i) for i in range(8)]
print(sorted({n.nvmlDeviceGetTopologyCommonAncestor(hs[0], h) for h in hs}),
      sum(n.nvmlDeviceGetNvLinkState(hs[0], k) for k in range(18)),
      [n.nvmlDeviceGetNumaNodeId(h) for h in hs])
"""
INSTANCES = """
for i in range(4):
    m = n.nvmlDeviceGetMigDeviceHandleByIndex(h, i)
    print(n.nvmlDeviceGetName(m), n.nvmlDeviceGetGpuInstanceId(m),
          n.nvmlDeviceGetMemoryInfo(m).total >> 20)
print(n.nvmlDeviceGetMigMode(n.nvmlDeviceGetHandleByIndex(1)))
"""
VGPUS = """
ids = n.nvmlDeviceGetSupportedVgpus(h)
print([n.nvmlVgpuTypeGetName(i) for i in ids][0], n.nvmlDeviceGetActiveVgpus(h),
      n.nvmlDeviceGetVirtualizationMode(h))
"""
ANSWERS = {
    "a_dgx_has_nvlink_everywhere_and_two_numa_nodes": (
        "dgx-h100", NVLINKS, ["[0, 40, 50] 18 [0, 0, 0, 0, 1, 1, 1, 1]"],
    ),
    "mig_instances_have_handles_ids_and_memory_of_their_own": (
        "a100-mig", INSTANCES, [
            "NVIDIA A100-SXM4-80GB MIG 3g.40gb 1 40192",
            "NVIDIA A100-SXM4-80GB MIG 2g.20gb 2 19968",
            "NVIDIA A100-SXM4-80GB MIG 1g.10gb 3 9728",
            "NVIDIA A100-SXM4-80GB MIG 1g.10gb 4 9728",
            "[0, 0]",
        ],
    ),
    "a_vgpu_host_lists_the_types_it_could_create": ("l4-vgpu", VGPUS, ["NVIDIA L4-1Q [] 3"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "program", "printed"), ANSWERS.values(), ids=ANSWERS, indirect=["machine"]
)
def test_nvml_answers_as_on_such_a_machine(machine: Machine, program: str, printed: list[str]):
    start = "import pynvml as n; n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0)\n"

    done = machine.python(start + program)

    assert done.stdout.splitlines() == printed, done.stderr
