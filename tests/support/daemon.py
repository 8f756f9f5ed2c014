# SPDX-License-Identifier: Apache-2.0
"""A real daemon on private folders, driven through the command line as a user would."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpushare.mechanisms.shm_paths import shared

from . import commands
from .machine import Machine, simulated

START_SECONDS = 120
GPUSHARE = (sys.executable, "-m", "gpushare.cli")


def until(condition: Callable[[], object], what: str, seconds: float = START_SECONDS) -> Any:
    """Poll `condition` until it is true and return what it gave; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s without success for {what}")


class Daemon:
    """One `gpushare daemon` and the commands that speak to it."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.socket = folder / "gpushare.sock"
        self.state = folder / "state"
        self.runtime = folder / "run"
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.machine.environment,
            "GPUSHARE_SOCKET": str(self.socket),
            "GPUSHARE_STATE_DIR": str(self.state),
            "GPUSHARE_RUNTIME_DIR": str(self.runtime),
            "NO_COLOR": "1",
        }

    def start(self, *options: str, umask: int = -1) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*GPUSHARE, "daemon", *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=umask,
            )
        until(self._answers, f"the daemon; its log:\n{self.log.read_text()}")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended:\n{self.log.read_text()}")
        return self.socket.exists() and self.gpushare("ps").returncode == 0

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        if how is signal.SIGTERM:
            self._forget_pools()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def _forget_pools(self) -> None:
        """What shares that outlive the daemon have in memory, its own folder being on a disk."""
        for folder in ("swap", "boards"):
            shutil.rmtree(shared(self.runtime / folder), ignore_errors=True)

    def kill(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    def gpushare(
        self, *arguments: str | Path, env: Mapping[str, str] = {}, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run one gpushare command to its end."""
        words, environment = [str(word) for word in arguments], {**self.environment, **env}
        if commands.forked(words, environment):
            return commands.run(words, environment, timeout)
        return self.machine.run(*GPUSHARE, *words, env=environment, timeout=timeout)

    def json(self, *arguments: str) -> Any:
        """Run one gpushare command with `-o json` and read its answer."""
        done = self.gpushare(*arguments, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def spawn(
        self, *arguments: str | Path, env: Mapping[str, str] = {}, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        """Start one gpushare command; the caller ends it."""
        env = {**self.environment, **env}
        return self.machine.start(*GPUSHARE, *arguments, env=env, stdin=stdin)

    def shares(self) -> list[dict[str, Any]]:
        """Every share that has not ended."""
        return list(self.json("ps")["items"])

    def share(self, name: str) -> dict[str, Any] | None:
        return next((share for share in self.shares() if share["name"] == name), None)

    def until_state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until the share called `name` is in `state`; its item."""

        def reached() -> dict[str, Any] | None:
            share = self.share(name)
            return share if share is not None and share["state"] == state else None

        found: dict[str, Any] = until(reached, f"share {name} to be {state}")
        return found

    def until_empty(self) -> None:
        """Wait until no share is left."""
        until(lambda: not self.shares(), "every share to be released")


@contextmanager
def serving() -> Iterator[Daemon]:
    """A daemon on a fresh simulated machine."""
    with (
        simulated("h200-1") as machine,
        tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as folder,
    ):
        found = Daemon(machine, Path(folder))
        found.start()
        try:
            yield found
        finally:
            found.stop()
