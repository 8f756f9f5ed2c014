# SPDX-License-Identifier: Apache-2.0
"""A daemon of the caller's own and the machine's, in a mount namespace with a /run of its own.

Root plays both: for commands with a state directory of their own, root's daemon is not the
machine's.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpushare.config.announced import holder_of
from support.daemon import GPUSHARE, until
from support.login import STARTED
from support.machine import AUTO_START, Machine

SOCKET = "/run/gpushare/gpushare.sock"
_EMPTY = " && ".join(f"mount -t tmpfs none {folder}" for folder in ("/run", "/var/lib", "/var/log"))
_FOLDERS = ("GPUSHARE_SOCKET", "GPUSHARE_STATE_DIR", "GPUSHARE_RUNTIME_DIR")


class Apart:
    """Commands of the caller (`own`), and of root as the administrator (`root`)."""

    def __init__(self, machine: Machine, folder: Path, inside: int) -> None:
        self.state = folder / "state"
        kept = {k: v for k, v in machine.environment.items() if k not in _FOLDERS}
        self._machine = replace(machine, environment={**kept, **AUTO_START, "HOME": str(folder)})
        self._own = {
            "GPUSHARE_STATE_DIR": str(self.state),
            "GPUSHARE_RUNTIME_DIR": str(folder / "run"),
        }
        self._enter = ["nsenter", f"--target={inside}", "--mount", "--", *GPUSHARE]

    def own(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._machine.run(*self._enter, *words, env=self._own, timeout=240)

    def root(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._machine.run(*self._enter, *words, timeout=240)

    @property
    def machines(self) -> int:
        """The pid of the machine's daemon."""
        return int(self.root("daemon", "status", "-q").stdout)

    def end(self) -> None:
        for pid in (holder_of(self.state), self.root("daemon", "status", "-q").stdout):
            if pid:
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def apart(machine: Machine, short_path: Path) -> Iterator[Apart]:
    words = ["unshare", "--mount", "sh", "-c", f"{_EMPTY} && echo mounted && exec cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        if shell.stdout.readline() != "mounted\n":
            pytest.skip("this user may not mount in a namespace")
        found = Apart(machine, short_path, shell.pid)
        try:
            yield found
        finally:
            found.end()
            shell.stdin.close()


def test_an_own_daemon_makes_room_for_the_machines(apart: Apart) -> None:
    assert STARTED in apart.own("create", "-m", "1GiB", "--name", "kept").stderr
    assert apart.root("daemon", "--detach").returncode == 0

    leaving = "ends with its last share: another daemon serves the machine"
    until(lambda: leaving in apart.own("daemon", "status").stdout, "the own daemon to leave")
    listed = apart.own("ps")
    moved = apart.own("run", "-m", "1GiB", "--name", "new", "--", "true")
    refused = apart.own("--socket", f"{apart.state.parent}/run/gpushare.sock", "create")
    assert "kept" in listed.stdout
    assert f"gpushare --socket {SOCKET} ps" in listed.stderr
    assert moved.returncode == 0
    assert "a daemon serves the machine now" in moved.stderr
    assert "new" in apart.root("ps", "-a").stdout
    assert "code: GS1404" in refused.stderr

    apart.own("rm", "kept")
    until(lambda: holder_of(apart.state) is None, "the own daemon to end with its last share")
    after = apart.own("create", "-m", "1GiB", "--name", "later")
    assert (after.returncode, after.stderr) == (0, "")
    assert "later" in apart.root("ps").stdout


def test_a_machines_daemon_that_was_killed_is_not_replaced(apart: Apart) -> None:
    apart.root("daemon", "--detach")
    os.kill(pid := apart.machines, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}/fd").exists() or not _open(pid), "it to be gone")

    done = apart.own("run", "-m", "1GiB", "--", "true")

    assert "code: GS1401" in done.stderr
    assert "as root: systemctl start gpushare" in done.stderr
    assert holder_of(apart.state) is None


def test_root_is_asked_to_start_the_machines_daemon(apart: Apart) -> None:
    done = apart.root("run", "-m", "1GiB", "--", "true")

    assert "the daemon of the whole machine is down" in done.stderr
    assert "gpushare daemon --detach" in done.stderr
    assert apart.root("daemon", "status").returncode == 6


def _open(pid: int) -> list[str]:
    """Descriptors of a process; none once it has ended."""
    try:
        return os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
    except OSError:
        return []
