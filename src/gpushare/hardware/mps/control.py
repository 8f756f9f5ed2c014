# SPDX-License-Identifier: Apache-2.0
"""A conversation with one MPS control daemon."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from gpushare.hardware.ports import MpsClient, MpsServer
from gpushare.model.errors import MpsError, MpsStuckError

from .dialect import Dialect
from .log import blamed

HELP = "gpushare explain GS1504"
STUCK_HELP = "gpushare explain GS1505"
# The same words for every question, so that one silence is one event.
UNANSWERED = "it took too long to answer, and is asked again after a pause"
FIRST_PAUSE = 10.0  # seconds in which a daemon that has not answered is not asked again
LONGEST_PAUSE = 300.0


class Silence:
    """One daemon that does not answer is asked by one caller after a pause, not by each.

    After an unanswered command all calls fail at once for `pause` seconds, longer each time. Only
    the daemon itself can be stuck, so what is known of it belongs to its process.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until, self._pause = 0.0, FIRST_PAUSE

    def check(self) -> None:
        """Raises MpsStuckError while it is not asked."""
        if self._clock() < self._until:
            raise MpsStuckError(
                "the MPS control daemon does not answer",
                UNANSWERED,
                STUCK_HELP,
            )

    def begin(self) -> None:
        """A command was not answered."""
        self._until = self._clock() + self._pause
        self._pause = min(LONGEST_PAUSE, self._pause * 2)

    def end(self) -> None:
        """A command was answered."""
        self._until, self._pause = 0.0, FIRST_PAUSE


class MpsShell:
    """Implements MpsControl by running the control tool once per command."""

    def __init__(
        self,
        tool: str,
        env: Mapping[str, str],
        speech: Dialect,
        log: Path,
        *,
        patience: float,
        silence: Silence,
    ) -> None:
        self._tool, self._env, self._speech = tool, env, speech
        self._log, self._patience, self._silence = log, patience, silence

    def servers(self) -> tuple[MpsServer, ...]:
        return self._speech.servers(self._ask)

    def clients(self) -> tuple[MpsClient, ...]:
        return self._speech.clients(self._ask)

    def terminate(self, client: MpsClient) -> None:
        self._speech.terminate(self._ask, client)

    def blame(self) -> tuple[int, ...]:
        pids: dict[int, None] = {}
        for log in sorted(self._log.rglob("server.log")):
            with log.open(errors="replace") as lines:
                pids.update(dict.fromkeys(blamed(lines)))
        return tuple(pids)

    def quit(self) -> None:
        """Ask the daemon to end; it may take its time."""
        self._ask("quit")

    def _ask(self, command: str) -> str:
        self._silence.check()
        legacy = self._speech.protocol < 3
        words = [] if legacy else ["-q"] if command == "quit" else command.split()
        try:
            done = subprocess.run(
                [self._tool, *words],
                input=f"{command}\n" if legacy else "",
                env=dict(self._env),
                capture_output=True,
                text=True,
                timeout=self._patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            self._silence.begin()
            raise MpsStuckError(
                "the MPS control daemon does not answer",
                UNANSWERED,
                STUCK_HELP,
            ) from error
        self._silence.end()
        if done.returncode:
            because = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
            raise MpsError(f"the MPS control daemon refused {command!r}", because, HELP)
        return done.stdout
