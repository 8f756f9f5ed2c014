# SPDX-License-Identifier: Apache-2.0
"""Fixtures of upgrades.

former     what one earlier version left behind, for each of them, in the folders of a daemon of
           this version, which is not started
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.former import ARCHIVES, Former
from support.machine import Machine


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """In memory, so that the shared files are below the runtime directory."""
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def former(
    request: pytest.FixtureRequest, machine: Machine, memory_folder: Path
) -> Iterator[Former]:
    """What each earlier version left behind."""
    found = Former(Daemon(machine, memory_folder), request.param)
    yield found
    found.end()
    if found.daemon.process is not None:
        found.daemon.stop()
