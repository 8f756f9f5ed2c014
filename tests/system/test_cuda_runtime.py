# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's CUDA runtime starts on the simulated machine: several versions, shared and static."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import Machine
from support.packages import install

pytestmark = pytest.mark.system
GIB = 1 << 30
SOURCE = Path(__file__).with_name("cudart_program.c")
OLD, NEWEST = "nvidia-cuda-runtime-cu12==12.4.127", "nvidia-cuda-runtime==13.5.37"
VERSIONS = [
    "nvidia-cuda-runtime-cu11==11.8.89",
    OLD,
    "nvidia-cuda-runtime-cu12==12.8.90",
    "nvidia-cuda-runtime==13.0.96",
    NEWEST,
]
Builder = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Links the program with a library of a version of the runtime: `build(version, pattern)`."""

    def built(requirement: str, pattern: str) -> Path:
        folder = tmp_path_factory.mktemp("cudart")
        install(folder, requirement)
        [library] = folder.rglob(pattern)
        program = folder / "program"
        system = ["-ldl", "-lrt", "-lpthread", f"-Wl,-rpath,{library.parent}"]
        command = ["gcc", "-Wall", "-Werror", "-o", program, SOURCE, library, *system]
        subprocess.run([str(part) for part in command], check=True, timeout=60)
        return program

    return built


def answers(text: str) -> dict[str, str]:
    return dict(line.rsplit(" ", 1) for line in text.splitlines())


WORKS = {
    "devices": "1",
    "processors": "132",
    "bus": "0000:19:00.0",
    "kernel wrote": "7",
    "too much": "1",
    "symbol holds a": "variable",
    "events in order": "1",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_of_each_runtime_works(version: str, build: Builder, machine: Machine) -> None:
    done = machine.run(build(version, "libcudart.so.*"))
    assert done.returncode == 0, done.stderr
    seen = answers(done.stdout)
    assert 139 * GIB < int(seen.pop("total")) < 140 * GIB
    assert seen == WORKS
    assert done.stderr == ""


def test_a_program_with_the_static_runtime_works(build: Builder, machine: Machine) -> None:
    done = machine.run(build(NEWEST, "libcudart_static.a"))
    assert done.returncode == 0, done.stderr
    assert answers(done.stdout).items() >= WORKS.items()


@pytest.mark.parametrize("version", [OLD, NEWEST])
def test_a_share_limits_a_program_of_the_runtime(
    version: str, build: Builder, daemon: Daemon
) -> None:
    done = daemon.gpushare("run", "-m", "1GiB", "--", build(version, "libcudart.so.*"))
    assert done.returncode == 0, done.stderr
    seen = answers(done.stdout)
    assert int(seen.pop("total")) == GIB
    assert seen == WORKS
