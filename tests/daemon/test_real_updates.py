# SPDX-License-Identifier: Apache-2.0
"""A real daemon changes the limits of real programs on a simulated GPU."""

import json
import sys

import pytest

from support.daemon import Daemon

from .test_real_migrate import PROGRAM, ask, running

OUT_OF_MEMORY = 2


@pytest.mark.parametrize("share", [("-c", "50"), ()], ids=["mps", "timeslice"])
def test_memory_grows_while_a_program_runs(daemon: Daemon, share: tuple[str, ...]) -> None:
    command = ["run", "--name", "job", "-m", "2GiB", *share, "--", sys.executable, str(PROGRAM)]
    with running(daemon, *command) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"result": 0}
        assert ask(process, "take 4096")["result"] == OUT_OF_MEMORY
        assert daemon.gpushare("update", "job", "-m", "6GiB").returncode == 0
        assert ask(process, "take 4096") == {"result": 0, "held": 4 << 30}
        assert daemon.gpushare("update", "job", "-m", "3GiB").returncode == 0
        assert ask(process, "take 4160")["result"] == OUT_OF_MEMORY
