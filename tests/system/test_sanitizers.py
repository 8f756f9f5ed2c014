# SPDX-License-Identifier: Apache-2.0
"""The guard under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGrant
from gpushare.model.ids import GpuId
from gpushare.model.units import MIB, Bytes
from support.machine import ROOT, Machine

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SANITIZERS = {"asan": "address,undefined", "tsan": "thread"}
CARD = GpuId("GPU-51600000-0000-4000-8000-000000000001")  # the first of every simulated machine
CONTEXT, ROOM = Bytes(100 * MIB), 256 * MIB
SCENARIOS = re.findall(
    r'^    \{"(\w+)",', (ROOT / "native/tests/guard/paths_test.c").read_text("utf-8"), re.MULTILINE
)


@pytest.fixture(scope="module", params=SANITIZERS)
def build(request: pytest.FixtureRequest) -> Path:
    """A sanitized build whose own tests have passed."""
    folder = ROOT / "native" / "build" / request.param
    settings = [f"BUILD=build/{folder.name}", f"SAN={SANITIZERS[request.param]}"]
    made = subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", "-C", ROOT / "native", *settings, "test-guard"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_path_is_clean(build: Path, machine: Machine, tmp_path: Path, scenario: str) -> None:
    grant = RegionGrant(uuid=CARD, limit=Bytes(ROOM + CONTEXT), context=CONTEXT)
    region = Region.create(tmp_path / "region", [grant])
    ran = machine.run(
        build / "tests" / "guard" / "paths_test",
        scenario,
        env={
            "LD_PRELOAD": str(build / "guard" / "libgpushare.so"),
            "LD_LIBRARY_PATH": str(build / "simgpu"),
            "GPUSHARE_REGION": str(region.path),
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
        },
    )
    assert (ran.returncode, ran.stderr) == (0, "")
