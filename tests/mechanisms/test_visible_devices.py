# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.errors import DeniedError, GpuLostError
from gpushare.model.gpu import ComputeMode
from gpushare.model.ids import GpuId
from support.shares import GPU, grant, share

DEFAULT, LOCKED = ComputeMode.DEFAULT, ComputeMode.EXCLUSIVE_PROCESS


class Modes:
    """Compute modes of GPUs in memory: what a port owes its callers, and how it fails them."""

    def __init__(self, mode: ComputeMode = DEFAULT) -> None:
        self.mode, self.error = mode, None

    def compute_mode(self, gpu: GpuId) -> ComputeMode:
        return self.mode

    def set_compute_mode(self, gpu: GpuId, mode: ComputeMode) -> None:
        if self.error:
            raise self.error
        self.mode = mode


@pytest.mark.parametrize("kind", ["timeslice", "exclusive"])
def test_gpus_are_named_by_uuid_and_nothing_is_inherited(tmp_path: Path, kind: str) -> None:
    mechanism = Timeslice() if kind == "timeslice" else Exclusive(Modes(), tmp_path)
    edits = mechanism.prepare(share(), [grant("GPU-b"), grant("MIG-a")])
    assert edits.env == {
        "CUDA_VISIBLE_DEVICES": "GPU-b,MIG-a",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": "/dev/null",
    }
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" in edits.unset
    assert edits.preload == ()


def test_a_share_made_of_nothing_is_released_by_doing_nothing(tmp_path: Path) -> None:
    for mechanism in (Timeslice(), Exclusive(Modes(), tmp_path)):
        mechanism.adjust(share(), [grant()])
        mechanism.drain(share(), [1])
        mechanism.release(share())
        assert mechanism.observe(share()).used == {}
        assert mechanism.mend() == ()


def test_exclusive_leaves_the_compute_mode_alone(tmp_path: Path) -> None:
    modes = Modes()
    Exclusive(modes, tmp_path).prepare(share(), [grant()])
    assert modes.mode is DEFAULT


@pytest.mark.parametrize("before", [DEFAULT, LOCKED])
def test_a_locked_gpu_gets_its_mode_back(tmp_path: Path, before: ComputeMode) -> None:
    modes, folder = Modes(before), tmp_path / "exclusive"
    Exclusive(modes, folder, lock=True).prepare(share(), [grant()])
    Exclusive(modes, folder, lock=True).prepare(share(), [grant()])
    assert modes.mode is LOCKED
    successor = Exclusive(modes, folder)
    successor.release(share(id="ffffffffffff"))
    assert modes.mode is LOCKED, "another share does not undo it"
    successor.release(share())
    assert modes.mode is before
    modes.mode = ComputeMode.PROHIBITED
    successor.release(share())
    assert modes.mode is ComputeMode.PROHIBITED, "what was undone once is not touched again"


def test_a_mode_that_may_not_be_set_is_undone(tmp_path: Path) -> None:
    modes = Modes()
    modes.error = DeniedError("only root")
    mechanism = Exclusive(modes, tmp_path, lock=True)
    with pytest.raises(DeniedError):
        mechanism.prepare(share(), [grant()])
    modes.error = None
    mechanism.release(share())
    assert not any(tmp_path.iterdir())


def test_a_lost_gpu_does_not_keep_its_share(tmp_path: Path) -> None:
    modes = Modes()
    mechanism = Exclusive(modes, tmp_path, lock=True)
    mechanism.prepare(share(), [grant()])
    modes.error = GpuLostError("gone")
    mechanism.release(share())
    assert not (tmp_path / GPU).exists()
