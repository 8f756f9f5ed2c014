# SPDX-License-Identifier: Apache-2.0
"""The guard under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from gpushare.guard import GpuPage, Rank, Region, RegionGrant, SharePolicy
from gpushare.model.ids import GpuId, ShareId
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


def _sanitized(build: Path, region: Path, **more: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(build / "guard" / "libgpushare.so"),
        "LD_LIBRARY_PATH": str(build / "simgpu"),
        "GPUSHARE_REGION": str(region),
        "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
    } | more


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_path_is_clean(build: Path, machine: Machine, tmp_path: Path, scenario: str) -> None:
    grant = RegionGrant(uuid=CARD, limit=Bytes(ROOM + CONTEXT), context=CONTEXT)
    region = Region.create(tmp_path / "region", [grant])
    ran = machine.run(
        build / "tests" / "guard" / "paths_test",
        scenario,
        env=_sanitized(build, region.path),
    )
    assert (ran.returncode, ran.stderr) == (0, "")


TENANTS = (
    (("work", "900000"), SharePolicy(share=ShareId("job"), rank=Rank.LOW, timeslice_us=80)),
    (
        ("serve", "300000", "1500"),
        SharePolicy(share=ShareId("service"), rank=Rank.HIGH, timeslice_us=10_000),
    ),
    (("graph", "400000"), SharePolicy(share=ShareId("graphs"), limit=3000, request=3000)),
    (("poll", "500000", "900"), SharePolicy(share=ShareId("poller"), limit=5000, request=5000)),
)


def test_urgent_work_and_turns_are_clean(build: Path, machine: Machine, tmp_path: Path) -> None:
    board = GpuPage.create(tmp_path / CARD, CARD)
    running = []
    module = build / "tests" / "guard" / "libkernel_module.so"
    more = {
        "GPUSHARE_BOARDS": str(tmp_path),
        "LD_PRELOAD": f"{build / 'guard' / 'libgpushare.so'}:{module}",
        "GS_SLICES": str(tmp_path / "slices"),
    }
    for number, (work, policy) in enumerate(TENANTS):
        board.set_share(number, policy)
        grant = RegionGrant(uuid=CARD, limit=Bytes(ROOM + CONTEXT), share_slot=number)
        region = Region.create(tmp_path / policy.share, [grant])
        env = _sanitized(build, region.path, **more)
        program = build / "tests" / "guard" / "gate_test"
        running.append(machine.start(program, *work, env=env, stdin=subprocess.PIPE))
    time.sleep(4)
    for process in running:
        out, err = process.communicate("", timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.startswith("ready\n")
    job, service, *limited = board.snapshot().share_slots
    asked = {line.split()[-1] for line in (tmp_path / "slices").read_text().splitlines()}
    assert asked & {"80", "1000"}  # as its neighbours happen to be busy
    assert min(job.fences, service.preemptions, *(slot.turns for slot in limited)) > 0
