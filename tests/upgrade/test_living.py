# SPDX-License-Identifier: Apache-2.0
"""An upgrade under programs that run: of each version of the shared files and of late schemas.

Each commit is built from the history of the repository. Earlier schemas are recordings
(test_former.py); here the programs are real, with the guard of their release in them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpushare.model.units import GIB, MIB
from support.daemon import until
from support.living import RELEASES, Living, missing, recorder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHARGED = 2671771648  # bytes, of a program with 2 GiB
OUT_OF_MEMORY = 2


@pytest.fixture(scope="module", params=RELEASES)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An earlier commit, built."""
    commit = RELEASES[request.param].commit
    if why := missing(commit):
        pytest.skip(why)
    tree = tmp_path_factory.mktemp("former") / "tree"
    recorder().checked_out(commit, tree)
    return tree


@pytest.fixture
def living(tree: Path, memory_folder: Path) -> Iterator[Living]:
    found = Living(tree, memory_folder)
    yield found
    found.end()


def test_programs_that_run_are_charged_limited_and_released(living: Living):
    daemon = living.daemon
    daemon.start()
    for name, gib in (("busy", 8), ("other", 6)):
        share = daemon.until_state(name, "running")
        assert living.lives(name)
        assert share["pids"] == [living.pids[name]]
        assert share["memory"]["used"] == CHARGED
        assert share["memory"]["limit"] == gib * GIB
        assert living.ask(name, "check") == "kept"
    assert living.ask("busy", f"allocate {7 * GIB}") == f"allocate {OUT_OF_MEMORY}"
    assert living.ask("busy", f"allocate {GIB}") == "allocate 0"
    until(lambda: daemon.share("busy")["memory"]["used"] == CHARGED + GIB, "it to be charged")
    assert daemon.gpushare("update", "busy", "-m", "4GiB").returncode == 0
    assert living.ask("busy", f"allocate {GIB}") == f"allocate {OUT_OF_MEMORY}"


def test_nothing_is_granted_twice_and_all_is_released(living: Living):
    daemon = living.daemon
    daemon.start()
    [gpu] = daemon.json("gpus")["items"]
    assert gpu["memory"]["granted"] == 14 * GIB
    beyond = gpu["memory"]["total"] - gpu["memory"]["reserved"] - 14 * GIB + MIB
    created = daemon.gpushare("create", "--queue", "--name", "beyond", "-m", str(beyond))
    assert created.returncode == 0, created.stderr
    assert daemon.share("beyond")["state"] == "queued"
    for name in ("busy", "other"):
        removed = daemon.gpushare("rm", "--force", name)
        assert removed.returncode == 0, removed.stderr
        daemon.gpushare("wait", name, timeout=90)
        assert not living.lives(name)
    limit = daemon.until_state("beyond", "granted")["memory"]["limit"]
    [gpu] = daemon.json("gpus")["items"]
    assert gpu["memory"]["granted"] == limit
    assert daemon.gpushare("audit", "verify").returncode == 0


def test_a_program_that_runs_is_suspended_and_resumed_or_it_is_said_why_not(living: Living):
    daemon = living.daemon
    daemon.start()
    suspended = daemon.gpushare("suspend", "busy", timeout=120)
    if suspended.returncode == 0:
        daemon.until_state("busy", "suspended")
        resumed = daemon.gpushare("resume", "busy", timeout=120)
        assert resumed.returncode == 0, resumed.stderr
    else:
        assert "because:" in suspended.stderr
        assert "code: GS" in suspended.stderr
    share = daemon.until_state("busy", "running")
    assert share["memory"]["used"] == CHARGED
    assert living.ask("busy", "check") == "kept"
    assert living.lives("other")
