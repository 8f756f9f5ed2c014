# SPDX-License-Identifier: Apache-2.0
"""The test suites of numba-cuda and CuPy fail in a share exactly where they fail without one.

GPUSHARE_CUPY_TESTS   the folder `tests` of a checkout of CuPy
GPUSHARE_PEER_JOBS    processes that run a suite, 8 unless set; it runs twice at the same time
GPUSHARE_PEER_SKIP    files of the suites to leave out, with commas
"""

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpushare.delivery.host import environment
from gpushare.model.spec import MechanismName
from support.machine import real
from support.mechanics import World
from support.shares import grant, share

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]
HERE = Path(__file__).with_name("peer_suites")
JOBS = os.environ.get("GPUSHARE_PEER_JOBS", "8")
SKIP = [name for name in os.environ.get("GPUSHARE_PEER_SKIP", "").split(",") if name]
AGAIN = 60  # tests that are run again one after the other, at most


@dataclass(frozen=True)
class Suite:
    """What pytest runs: arguments, and the folder that it runs in."""

    package: str
    arguments: tuple[str, ...]
    folder: Path

    def outcomes(
        self, env: Mapping[str, str], report: Path, tests: Sequence[str] = ()
    ) -> dict[str, bool]:
        """Whether each test passed, of all or of those that `-k` finds by these names."""
        parallel = ("-n", "0") if tests else ("-n", JOBS)
        chosen = ("-k", " or ".join(sorted({_name(test) for test in tests}))) if tests else ()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *parallel]
        command += [word for name in SKIP for word in ("--ignore-glob", f"*/{name}")]
        command += [
            "--durations",
            "10",
            "--timeout",
            "60",  # CuPy's test_thread_safe never ends on a machine with one GPU
            "--junitxml",
            str(report),
            *self.arguments,
            *chosen,
        ]
        paths = [str(HERE), *filter(None, [env.get("PYTHONPATH")])]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**env, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        sys.stdout.write(done.stdout[-1500:])
        assert report.exists(), done.stdout[-4000:] + done.stderr[-4000:]
        return _read(report)


def _name(test: str) -> str:
    """Without the parameters, which may hold what `-k` reads as an expression."""
    return test.rpartition("::")[2].partition("[")[0]


def _read(report: Path) -> dict[str, bool]:
    cases = ET.parse(report).iter("testcase")
    return {
        f"{case.get('classname')}::{case.get('name')}": case.find("failure") is None
        and case.find("error") is None
        for case in cases
    }


def _failures(outcomes: Mapping[str, bool]) -> set[str]:
    return {test for test, passed in outcomes.items() if not passed}


def numba() -> Suite:
    for package in ("numba_cuda", "filecheck"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    ini = str(HERE / "numba.ini")
    return Suite(
        "numba-cuda", ("-p", "peer_fixtures", "-c", ini, "--pyargs", "numba.cuda.tests"), HERE
    )


def cupy() -> Suite:
    given = os.environ.get("GPUSHARE_CUPY_TESTS")
    if not given:
        pytest.skip("GPUSHARE_CUPY_TESTS does not name the tests of a checkout of CuPy")
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("cupy is not installed")
    return Suite("cupy", ("cupy_tests/cuda_tests",), Path(given))


@pytest.fixture(
    params=[
        (MechanismName.TIMESLICE, MechanismName.GUARD),
        (MechanismName.MPS, MechanismName.GUARD),
    ],
    ids="+".join,
)
def inside(request: pytest.FixtureRequest, short_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program in a share of three quarters of the first GPU."""
    world = World(real(), short_path)
    gpu = world.snapshot().gpus[0]
    limit = gpu.memory_total * 3 // 4 >> 21 << 21
    with world.granted(share(grant(gpu.uuid, limit), by=request.param)) as edits:
        yield environment(edits, world.machine.environment)


@pytest.mark.parametrize("suite", [numba, cupy])
def test_a_suite_fails_in_a_share_where_it_fails_without(
    suite: Callable[[], Suite], inside: dict[str, str], tmp_path: Path
) -> None:
    peer, outside = suite(), real().environment
    with ThreadPoolExecutor() as both:
        alone = both.submit(peer.outcomes, outside, tmp_path / "bare.xml")
        within = peer.outcomes(inside, tmp_path / "share.xml")
        without = alone.result()
    sys.stdout.write(f"{peer.package}: {len(without)} tests, {len(_failures(without))} fail bare\n")
    assert len(without) > 100
    assert within.keys() == without.keys()

    # Several of them at a time can fail for want of time; what differs is run again alone.
    differs = sorted(_failures(without) ^ _failures(within))
    assert len(differs) <= AGAIN, differs
    if differs:
        sys.stdout.write(f"run again: {differs}\n")
        without = peer.outcomes(outside, tmp_path / "bare-again.xml", differs)
        within = peer.outcomes(inside, tmp_path / "share-again.xml", differs)
    assert _failures(within) == _failures(without), differs
