# SPDX-License-Identifier: Apache-2.0
"""A simulated machine's folder and environment."""

import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.hardware.simulated import machine
from gpushare.model.errors import GuardMissingError, UnknownProfileError


def test_the_machine_is_gone_afterwards():
    with machine("h200-1") as made:
        assert made.image.exists()

    assert not made.folder.exists()


def test_two_machines_live_side_by_side():
    with machine("h200-1") as one, machine("h200-1") as other:
        assert one.image != other.image


def test_the_environment_leads_to_the_machine_and_keeps_the_rest():
    with machine("h200-1") as made:
        found = made.environment(
            {"PATH": "/bin", "HOME": "/home/x", "CUDA_MPS_PIPE_DIRECTORY": "/y"}
        )

    assert found["HOME"] == "/home/x"
    assert found["PATH"].endswith(":/bin")
    assert Path(found["LD_LIBRARY_PATH"]).name == "simgpu"
    assert found["GPUSHARE_SIM_MACHINE"] == str(made.image)
    assert Path(found["CUDA_MPS_PIPE_DIRECTORY"]).parent == made.folder


def test_a_killed_owners_machine_is_collected_by_the_next(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    source = (
        "import os, signal\n"
        "from gpushare.hardware.simulated import machine\n"
        "with machine('h200-1'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", source], check=False, timeout=120)
    assert len(list(tmp_path.iterdir())) == 1

    with machine("h200-1") as made:
        assert list(tmp_path.iterdir()) == [made.folder]


def test_an_unknown_profile_makes_nothing():
    with pytest.raises(UnknownProfileError), machine("gtx-480"):
        pass


def test_native_parts_that_are_not_built_are_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GPUSHARE_NATIVE", str(tmp_path))

    with pytest.raises(GuardMissingError) as caught, machine("h200-1"):
        pass

    assert caught.value.hint == "make native"
