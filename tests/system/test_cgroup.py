# SPDX-License-Identifier: Apache-2.0
"""Real control groups hold a share's processes together, and go with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.program import training

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root here"),
]


def groups_of(pid: int) -> list[str]:
    """Names of the control groups of a process, in every hierarchy."""
    return [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]


def folders_named(name: str) -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if Path(path).name == name]


def test_a_share_has_a_control_group_that_goes_with_it(daemon: Daemon) -> None:
    with training(daemon, "--name", "job", "-m", "3GiB") as process:
        share = daemon.until_state("job", "running")
        inside = [group for group in groups_of(process.pid) if share["id"] in group]
        assert inside, "the program is in no control group of its share"
        assert folders_named(share["id"])
    daemon.until_empty()
    assert not folders_named(share["id"])


CHILD = """
import os, sys, time
if os.fork():
    os._exit(0)  # the parent goes, the child stays
os.setsid()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_child_that_outlives_the_program_keeps_the_share(daemon: Daemon, until) -> None:
    command = ["run", "--name", "job", "-m", "3GiB", "--", sys.executable, "-c", CHILD]
    with daemon.spawn(*command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.wait(30) == 0
        share = daemon.share("job")
        assert share is not None
        assert any(share["id"] in group for group in groups_of(child))
        until(lambda: child in (daemon.share("job") or {}).get("pids", []), "the child to be seen")
        process.stdin.close()
        daemon.until_empty()
