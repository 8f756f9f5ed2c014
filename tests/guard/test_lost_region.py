# SPDX-License-Identifier: Apache-2.0
"""A running program whose region is removed or replaced: it keeps its limit and does not crash."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGrant, layout
from gpushare.model.units import GIB, MIB, Bytes
from guard.conftest import Share

PROGRAM = Path(__file__).parents[1] / "support" / "cuda_program.py"
OUT_OF_MEMORY, NO_DEVICE = 2, 100


class Program:
    def __init__(self, share: Share) -> None:
        env = {**share.machine.environment, **share.environment}
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == {"result": 0}

    def take(self, mib: int) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"take {mib}\n")
        self._process.stdin.flush()
        return self._answer()["result"]

    def end(self) -> int:
        self._process.communicate(timeout=60)
        return self._process.returncode

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


def remove(path: Path) -> None:
    path.unlink()


def replace_by_another(path: Path) -> None:
    grant = RegionGrant(uuid=Region(path).snapshot().gpus[0].uuid, limit=Bytes(64 * GIB))
    Region.create(path, [grant])


def replace_by_another_version(path: Path) -> None:
    data = bytearray(path.read_bytes())
    at = layout.GsRegionHeader.version.offset
    data[at : at + 4] = (99).to_bytes(4, "little")
    path.unlink()
    path.write_bytes(data)


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.fixture
def share(guarded: Callable[..., Share]) -> Share:
    return guarded(GIB)


@pytest.fixture
def program(share: Share) -> Iterator[Program]:
    started = Program(share)
    yield started
    started.end()


@pytest.mark.parametrize(
    "lose", [remove, replace_by_another, replace_by_another_version, replace_by_a_pipe]
)
def test_a_running_program_keeps_its_limit(
    share: Share, program: Program, lose: Callable[[Path], None]
) -> None:
    assert program.take(512) == 0
    lose(share.region.path)
    assert program.take(1024) == 0
    assert program.take(1088) == OUT_OF_MEMORY
    assert program.end() == 0


def test_a_program_that_starts_then_finds_no_gpu_and_says_why(share: Share, tmp_path: Path) -> None:
    replace_by_another_version(share.region.path)
    log = tmp_path / "log"
    done = share.python(
        "import ctypes; print(ctypes.CDLL('libcuda.so.1').cuInit(0))",
        env={"GPUSHARE_GUARD_LOG": str(log)},
    )
    assert (done.returncode, done.stdout) == (0, f"{NO_DEVICE}\n"), done.stderr
    assert "cannot map the region" in log.read_text()


def test_room_of_dead_programs_is_not_found_without_the_region(share: Share) -> None:
    """A process that cannot ask whether others live takes nothing from them."""
    one, other = Program(share), Program(share)
    assert one.take(512) == 0
    remove(share.region.path)
    assert one.end() == 0
    assert other.take(int((GIB - 512 * MIB) / MIB) - 256) == 0
    assert other.take(1024) == OUT_OF_MEMORY
    assert other.end() == 0
