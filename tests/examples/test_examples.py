# SPDX-License-Identifier: Apache-2.0
"""Every example does what its README says."""

import os
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECKS = sorted(EXAMPLES.glob("*/check"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.parent.name)
def test_the_example_holds(daemon: Daemon, check: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), daemon.environment["PATH"]])
    done = daemon.machine.run(check, env={**daemon.environment, "PATH": path}, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
