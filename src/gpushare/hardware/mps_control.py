# SPDX-License-Identifier: Apache-2.0
"""A conversation with one MPS control daemon."""

import subprocess
from collections.abc import Mapping

from gpushare.model.errors import MpsError, MpsStuckError

from .mps_dialect import Dialect
from .ports import MpsClient, MpsDefaults, MpsServer

DOCTOR = "gpushare doctor"


class MpsShell:
    """Implements MpsControl by running the control tool once per command."""

    def __init__(
        self, binary: str, env: Mapping[str, str], speech: Dialect, patience: float
    ) -> None:
        self._binary, self._env, self._patience = binary, env, patience
        self._speech = speech

    def servers(self) -> tuple[MpsServer, ...]:
        return self._speech.servers(self._ask)

    def clients(self) -> tuple[MpsClient, ...]:
        return self._speech.clients(self._ask)

    def terminate(self, client: MpsClient) -> None:
        self._speech.terminate(self._ask, client)

    def set_defaults(self, defaults: MpsDefaults) -> None:
        self._speech.set_defaults(self._ask, defaults)

    def quit(self) -> None:
        self._ask("quit")

    def _ask(self, command: str) -> str:
        legacy = self._speech.protocol < 3
        words = [] if legacy else ["-q"] if command == "quit" else command.split()
        try:
            done = subprocess.run(
                [self._binary, *words],
                input=f"{command}\n" if legacy else "",
                env=dict(self._env),
                capture_output=True,
                text=True,
                timeout=self._patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise MpsStuckError(
                "the MPS control daemon does not answer",
                f"{command!r} took longer than {self._patience:g} s",
                DOCTOR,
            ) from error
        if done.returncode:
            because = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
            raise MpsError(f"the MPS control daemon refused {command!r}", because, DOCTOR)
        return done.stdout
