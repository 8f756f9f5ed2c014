# SPDX-License-Identifier: Apache-2.0
"""A user at a simulated machine on which no daemon runs, as in a shell of `gpushare simulate`."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gpushare.config.announced import holder_of

from .daemon import GPUSHARE, until
from .machine import AUTO_START, Machine

STARTED = "started your own daemon"


class Login:
    """Commands of a user who has set nothing; a daemon that they start is ended by `end`."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self._spawned: list[subprocess.Popen[str]] = []
        self.state = Path(machine.environment["GPUSHARE_STATE_DIR"])
        self.environment = {
            **machine.environment,
            **AUTO_START,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "NO_COLOR": "1",
        }

    def gpushare(
        self, *words: str | Path, env: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        return self.machine.run(*GPUSHARE, *words, env={**self.environment, **env}, timeout=240)

    def spawn(self, *words: str | Path, env: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        """Start one gpushare command; `end` ends it if the test has not."""
        process = self.machine.start(*GPUSHARE, *words, env={**self.environment, **env})
        self._spawned.append(process)
        return process

    @property
    def daemon(self) -> int | None:
        """The pid of the daemon that runs."""
        return holder_of(self.state)

    def names(self) -> list[str]:
        """The shares that live."""
        return self.gpushare("ps", "-q").stdout.split()

    def until_ended(self, what: str) -> None:
        """Wait until no daemon runs."""
        until(lambda: self.daemon is None, what)

    def end(self) -> None:
        """End what was started, as a crash would."""
        for process in self._spawned:
            process.kill()
            process.communicate()
        self.kill()

    def kill(self) -> None:
        """End the daemon as a crash would."""
        if pid := self.daemon:
            os.kill(pid, signal.SIGKILL)
            self.until_ended("the daemon to be killed")
