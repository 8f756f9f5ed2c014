# SPDX-License-Identifier: Apache-2.0
"""The wheels: what they need, and that they work where nothing can be compiled."""

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
FLOOR = (2, 17)
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine of ELF
EXPECTED = {
    "guard/libgpushare.so",
    "probe/gpushare-probe",
    "simgpu/gpushare-sim-machine",
    "simgpu/libcuda.so.1",
    "simgpu/libnvidia-ml.so.1",
    "simgpu/nvidia-cuda-mps-control",
    "simgpu/nvidia-cuda-mps-server",
}


def native(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith("gpushare/_native/")]
        return {name.removeprefix("gpushare/_native/"): archive.read(name) for name in names}


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_the_wheel_is_for_every_python_and_one_platform(wheels, architecture: str) -> None:
    assert wheels[architecture].name.endswith(f"-py3-none-manylinux_2_17_{architecture}.whl")


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_the_wheel_has_every_native_part_and_nothing_else(wheels, architecture: str) -> None:
    assert native(wheels[architecture]).keys() == EXPECTED


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_native_parts_are_of_the_right_machine(wheels, architecture: str) -> None:
    for name, content in native(wheels[architecture]).items():
        assert content[:4] == b"\x7fELF", name
        assert int.from_bytes(content[18:20], "little") == MACHINES[architecture], name


@pytest.mark.parametrize("architecture", sorted(MACHINES))
def test_native_parts_need_no_newer_glibc_than_the_tag_says(
    wheels, architecture: str, tmp_path: Path
) -> None:
    for name, content in native(wheels[architecture]).items():
        newest = max(_needed(content, tmp_path / "part"))
        assert newest <= FLOOR, f"{name} needs glibc {newest}"


def _needed(content: bytes, scratch: Path) -> list[tuple[int, int]]:
    """Versions of glibc that a library or program needs; the guard also defines some."""
    scratch.write_bytes(content)
    shown = subprocess.run(
        ["readelf", "--version-info", "--wide", scratch], capture_output=True, text=True, check=True
    ).stdout
    needs = shown.partition("Version needs section")[2]
    return [(int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", needs)]


def test_an_installed_wheel_says_its_version(installed: Path) -> None:
    done = subprocess.run(
        [installed / "gpushare", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PATH": "/nonexistent"},
    )
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_an_installed_wheel_runs_the_demo_without_a_compiler(
    installed: Path, tmp_path: Path
) -> None:
    demo = Path(__file__).parents[2] / "examples" / "01-three-programs" / "demo.py"
    done = subprocess.run(
        [installed / "gpushare", "simulate", "h200-1", "--", installed / "python", demo],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/nonexistent", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in done.stdout
