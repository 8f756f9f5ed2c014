# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import real


@pytest.fixture
def pair(short_path: Path) -> Iterator[Daemon]:
    """A daemon on a machine with two GPUs."""
    listed = real().run("nvidia-smi", "-L").stdout
    if listed.count("GPU ") < 2:
        pytest.skip("needs two GPUs")
    found = Daemon(real(), short_path)
    found.start()
    yield found
    found.stop()
