# SPDX-License-Identifier: Apache-2.0
"""Every example does what its README says."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.machine import clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECKS = sorted(EXAMPLES.glob("*/check"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.parent.name)
def test_the_example_holds(daemon: Daemon, check: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), daemon.environment["PATH"]])
    done = daemon.machine.run(check, env={**daemon.environment, "PATH": path}, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def mentioning(folder: str) -> list[int]:
    """Processes whose environment names `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if folder.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(short_path: Path, until, how) -> None:
    """As Ctrl-C does it: the signal reaches everything in the terminal's foreground."""
    environment = {**clean_environment(), "TMPDIR": str(short_path)}
    output = short_path / "out"
    with output.open("w") as sink:
        demo = subprocess.Popen(
            [sys.executable, EXAMPLES / "01-three-programs" / "demo.py"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    until(lambda: "$ gpushare ps" in output.read_text(), "the demo to run its programs")
    os.killpg(demo.pid, how)
    assert demo.wait(60) in {128 + how, -how}
    until(lambda: not mentioning(str(short_path)), "every process to end")
    assert [path.name for path in short_path.iterdir()] == ["out"]
