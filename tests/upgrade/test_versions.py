# SPDX-License-Identifier: Apache-2.0
"""Upgrades are tested from every version of the state and of the files that processes share.

From a recording (test_former.py) or from a commit that is built (test_living.py). Who adds a
version has to make this test pass for the one before it:
`scripts/record_former_state.py COMMIT:NAME`, or a row in `RELEASES` of tests/support/living.py.
"""

import ctypes
import re
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest

from gpushare.guard import layout
from support.former import ARCHIVES, unpack
from support.living import RELEASES, Release, missing
from support.machine import ROOT

Version = tuple[str, int]
SCHEMAS = len([it for it in files("gpushare.store.schema").iterdir() if it.name.endswith(".sql")])
NEWEST = {
    "schema": SCHEMAS,
    "region": layout.REGION_VERSION,
    "page": layout.GPU_PAGE_VERSION,
    "pool": layout.SWAP_POOL_VERSION,
}
HEADERS = {
    "regions/*": ("region", layout.GsRegionHeader),
    "boards/*": ("page", layout.GsGpuPageHeader),
    "swap/*/table": ("pool", layout.GsSwapPoolHeader),
}
DEFINES = {"REGION": "region", "BOARD": "page", "GPU_PAGE": "page"}  # the rest are pools


@cache
def recorded(archive: Path, folder: Path) -> frozenset[Version]:
    """The versions in the files of an archive."""
    with tarfile.open(archive) as packed:
        unpack(packed, folder)
    with closing(sqlite3.connect(folder / "files" / "state" / "state.db")) as state:
        schema = state.execute("PRAGMA user_version").fetchone()[0]
    return frozenset({("schema", schema), *shared(folder / "files" / "run")})


def shared(runtime: Path) -> Iterator[Version]:
    for pattern, (kind, header) in HEADERS.items():
        for path in runtime.glob(pattern):
            read = header.from_buffer_copy(path.read_bytes()[: ctypes.sizeof(header)])
            yield kind, read.version
            if kind == "region" and read.slot_size == ctypes.sizeof(layout.GsFormerRegionSlot):
                yield "region with a lock", read.version


def declared(release: Release) -> set[Version]:
    return {(kind, it) for kind, it in release._asdict().items() if isinstance(it, int)}


@pytest.fixture
def covered(tmp_path: Path) -> set[Version]:
    recordings = [recorded(archive, tmp_path / archive.stem) for archive in ARCHIVES]
    return set().union(*recordings, *map(declared, RELEASES.values()))


@pytest.mark.parametrize("kind", NEWEST)
def test_there_is_an_upgrade_from_every_version_before_this_one(covered, kind):
    before = {(kind, version) for version in range(1, NEWEST[kind])}
    assert before - covered == set()


def test_there_is_an_upgrade_from_every_region_with_a_lock(covered):
    versions = range(1, layout.FORMER_REGION_VERSION + 1)
    assert {("region with a lock", version) for version in versions} - covered == set()


@pytest.mark.parametrize("name", RELEASES)
def test_the_commits_have_the_versions_that_are_said_of_them(name):
    release = RELEASES[name]
    if why := missing(release.commit):
        pytest.skip(why)
    steps = git("ls-tree", "--name-only", release.commit, "src/gpushare/store/schema/")
    found = {("schema", steps.count(".sql"))}
    defines = git(
        "grep", "-h", "-E", r"define +GS_\w+_VERSION", release.commit, "--", "native/guard"
    )
    for define, version in re.findall(r"GS_(\w+)_VERSION (\d+)u", defines):
        if not define.startswith("FORMER"):
            found.add((DEFINES.get(define, "pool"), int(version)))
    assert found == declared(release)


def git(*words: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, text=True)
    return done.stdout
