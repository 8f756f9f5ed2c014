# SPDX-License-Identifier: Apache-2.0
"""The unit that ships, in its sandbox, under a real systemd: shares work, and little is exposed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from . import vm

pytestmark = pytest.mark.system
DEPLOY = Path(__file__).parents[2] / "deploy"
MOST_EXPOSED = 3.0  # of 10, as `systemd-analyze security` counts


def test_the_service_is_exposed_little() -> None:
    done = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            DEPLOY / "systemd" / "gpushare.service",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    exposure = re.search(r"Overall exposure level.*?: ([\d.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= MOST_EXPOSED


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_shares_work_in_the_sandbox_of_the_service(installed: Path, tmp_path: Path) -> None:
    if missing := vm.missing():
        pytest.skip(f"{missing} is not installed")
    if os.geteuid():
        pytest.skip("only root can read this machine's disk for a guest")
    script = Path(__file__).with_name("service_in_guest.py")
    command = f"{installed / 'python'} {script} {installed} {DEPLOY}"
    console = vm.run(command, tmp_path, timeout=1400)
    sys.stdout.write(console[-8000:])
    assert "all held" in console, console[-8000:]
