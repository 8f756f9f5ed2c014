# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from gpushare.mechanisms.compute_lock import ComputeLock
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.timeslice import Timeslice
from support.modes import Modes
from support.shares import grant, share


@pytest.mark.parametrize("kind", ["timeslice", "exclusive"])
def test_gpus_are_named_by_uuid_and_nothing_is_inherited(tmp_path: Path, kind: str) -> None:
    mechanism = Timeslice() if kind == "timeslice" else Exclusive(ComputeLock(Modes(), tmp_path))
    edits = mechanism.prepare(share(), [grant("GPU-b"), grant("MIG-a")])
    assert edits.env == {
        "CUDA_VISIBLE_DEVICES": "GPU-b,MIG-a",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": "/dev/null",
    }
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" in edits.unset
    assert edits.preload == ()


def test_a_share_made_of_nothing_is_released_by_doing_nothing(tmp_path: Path) -> None:
    for mechanism in (Timeslice(), Exclusive(ComputeLock(Modes(), tmp_path))):
        mechanism.adjust(share(), [grant()])
        mechanism.drain(share(), [1])
        mechanism.release(share())
        assert mechanism.observe(share()).used == {}
        assert mechanism.mend() == ()
