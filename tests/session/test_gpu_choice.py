# SPDX-License-Identifier: Apache-2.0
"""The GPUs that the caller's environment chooses, for a share made or entered."""

import sys
from collections.abc import Mapping

import msgspec
import pytest

from gpushare.model.errors import BadSpecError
from gpushare.model.gpu import GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.view import GpuComputeView, GpuMemoryView, GpuView
from gpushare.session.gpu_choice import choice, chosen
from support.daemon import Daemon

LISTED = """
import ctypes, os
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
cuda.cuInit(0)
cuda.cuDeviceGetCount(ctypes.byref(count))
print(count.value)
"""


def view(index: int, name: str = "NVIDIA A10", uuid: str = "") -> GpuView:
    return GpuView(
        uuid=GpuId(uuid or f"GPU-{index}0000000-1111-2222-3333-444444444444"),
        index=index,
        name=name,
        memory=msgspec.convert(dict.fromkeys(GpuMemoryView.__struct_fields__, 0), GpuMemoryView),
        compute=msgspec.convert(dict.fromkeys(GpuComputeView.__struct_fields__, 0), GpuComputeView),
        mechanisms=(),
        mig=(),
        topology={},
        health=GpuHealth(),
        driver="580",
        processes=(),
        simulated=True,
    )


FOUR = [view(index) for index in range(4)]


def picked(**environment: str) -> list[int] | None:
    """The numbers of the chosen GPUs, of four."""
    found = choice(environment, FOUR)
    return [int(gpu[4]) for gpu in found.gpus] if found else None


@pytest.mark.parametrize(
    ("environment", "numbers"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "2"}, [2]),
        ({"CUDA_VISIBLE_DEVICES": " 3 , 1"}, [3, 1]),
        ({"CUDA_VISIBLE_DEVICES": "1,-1,2"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": FOUR[1].uuid}, [1]),
        ({"CUDA_VISIBLE_DEVICES": f"{FOUR[1].uuid[:9]},0"}, [1, 0]),
        ({"CUDA_VISIBLE_DEVICES": "0", "GPUSHARE_SHARE": "0123456789ab"}, None),
        ({"SLURM_JOB_GPUS": "1,3"}, [1, 3]),
        ({"SLURM_JOB_GPUS": "1,3", "SLURM_STEP_GPUS": "3"}, [3]),
        ({"SLURM_JOB_GPUS": "1,3", "CUDA_VISIBLE_DEVICES": "1,3"}, [1, 3]),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, [2, 3]),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "1"}, [3]),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": FOUR[2].uuid}, [2]),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, None),
        ({"NVIDIA_VISIBLE_DEVICES": "void"}, None),
        ({"NVIDIA_VISIBLE_DEVICES": "2"}, [2]),
        ({"NVIDIA_VISIBLE_DEVICES": f"{FOUR[2].uuid},0"}, [2, 0]),
        ({"NVIDIA_VISIBLE_DEVICES": "4,5,6,7"}, None),
        ({"NVIDIA_VISIBLE_DEVICES": "2", "CUDA_VISIBLE_DEVICES": "1"}, [1]),
    ],
)
def test_what_the_environment_chooses(
    environment: Mapping[str, str], numbers: list[int] | None
) -> None:
    assert picked(**environment) == numbers


@pytest.mark.parametrize(
    "value", ["", " ", "-1", "4", "x", "GPU-", "GPU-9", "0,x", "\u0661", "00x"]
)
def test_a_choice_of_no_gpu_is_refused(value: str) -> None:
    with pytest.raises(BadSpecError) as caught:
        picked(CUDA_VISIBLE_DEVICES=value)
    assert f"CUDA_VISIBLE_DEVICES={value}" in caught.value.what
    assert caught.value.because
    assert caught.value.hint


def test_a_uuid_that_names_several_gpus_is_refused() -> None:
    twins = [view(0, uuid="GPU-aaaa-1"), view(1, uuid="GPU-aaaa-2")]
    with pytest.raises(BadSpecError, match="names no GPU"):
        choice({"CUDA_VISIBLE_DEVICES": "GPU-aaaa"}, twins)


def test_numbers_on_different_models_need_the_order_of_addresses() -> None:
    mixed = [view(0), view(1, "NVIDIA H200")]
    with pytest.raises(BadSpecError, match="ambiguous"):
        choice({"CUDA_VISIBLE_DEVICES": "1"}, mixed)
    for environment in (
        {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        {"CUDA_VISIBLE_DEVICES": mixed[1].uuid},
    ):
        found = choice(environment, mixed)
        assert found is not None
        assert found.gpus == (mixed[1].uuid,)


@pytest.mark.parametrize("asked", [("1",), (FOUR[1].uuid,)])
def test_an_option_within_the_choice_is_taken(asked: tuple[str, ...]) -> None:
    found = choice({"CUDA_VISIBLE_DEVICES": "0,1"}, FOUR)
    assert found is not None
    assert chosen(found, asked, FOUR) == asked


@pytest.mark.parametrize("asked", [("2",), (FOUR[3].uuid,), ("0", "3")])
def test_an_option_outside_the_choice_is_refused(asked: tuple[str, ...]) -> None:
    found = choice({"CUDA_VISIBLE_DEVICES": "0,1"}, FOUR)
    assert found is not None
    with pytest.raises(BadSpecError, match="does not have GPU"):
        chosen(found, asked, FOUR)


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
class TestThroughTheCommandLine:
    def test_run_uses_the_chosen_gpus(self, daemon: Daemon) -> None:
        for value, gpus in (("1", [1]), ("0,1", [0, 1])):
            words = ("run", "-m", "1GiB", "--", sys.executable, "-c", LISTED)
            done = daemon.gpushare(*words, env={"CUDA_VISIBLE_DEVICES": value})
            assert done.stdout == f"{len(gpus)}\n", done.stderr
            share = daemon.json("ps", "-a")["items"][-1]
            assert [_index(daemon, gpu) for gpu in share["gpus"]] == gpus

    def test_a_number_of_gpus_chooses_among_them(self, daemon: Daemon) -> None:
        only = {"CUDA_VISIBLE_DEVICES": "0,1"}
        assert daemon.gpushare("create", "-m", "1GiB", "-n", "1", env=only).returncode == 0
        more = daemon.gpushare("create", "-m", "1GiB", "-n", "2", env={"CUDA_VISIBLE_DEVICES": "1"})
        assert "GS1102" in more.stderr

    def test_a_contradiction_is_refused(self, daemon: Daemon) -> None:
        words = ("run", "-m", "1GiB", "--gpu", "0", "--", "true")
        done = daemon.gpushare(*words, env={"CUDA_VISIBLE_DEVICES": "1"})
        assert done.returncode != 0
        assert "CUDA_VISIBLE_DEVICES=1 does not have GPU 0" in done.stderr

    def test_a_share_elsewhere_is_not_entered(self, daemon: Daemon) -> None:
        daemon.gpushare("create", "-m", "1GiB", "--gpu", "1", "--name", "held")
        for words in (("exec", "held", "--", "true"), ("env", "held")):
            refused = daemon.gpushare(*words, env={"CUDA_VISIBLE_DEVICES": "0"})
            assert "share held is on GPU 1" in refused.stderr
            assert refused.returncode != 0
            taken = daemon.gpushare(*words, env={"CUDA_VISIBLE_DEVICES": "1"})
            assert taken.returncode == 0, taken.stderr

    def test_a_python_program_uses_the_chosen_gpu(self, daemon: Daemon) -> None:
        program = "import gpushare\nwith gpushare.share(memory='1GiB') as s: print(*s.gpus)"
        env = {**daemon.environment, "CUDA_VISIBLE_DEVICES": "1"}
        done = daemon.machine.run(sys.executable, "-c", program, env=env)
        assert _index(daemon, done.stdout.strip()) == 1, done.stderr


def _index(daemon: Daemon, uuid: str) -> int:
    gpus = daemon.json("gpus")["items"]
    return next(int(gpu["index"]) for gpu in gpus if gpu["uuid"] == uuid)
