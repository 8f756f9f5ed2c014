# SPDX-License-Identifier: Apache-2.0
"""How long this daemon runs: until it is stopped, or until it is idle (ADR 0050)."""

from gpushare.config.announced import listens
from gpushare.model.errors import DaemonLeavingError
from gpushare.model.operations.lifetime import Lifetime, UntilIdle


class DaemonLifetime:
    def __init__(self) -> None:
        self.now = Lifetime.UNTIL_STOPPED
        self._machine = UntilIdle().machine

    def end_when_idle(self, until_idle: UntilIdle) -> None:
        """A command has started this daemon."""
        self.now, self._machine = Lifetime.UNTIL_IDLE, until_idle.machine

    def leave(self) -> bool:
        """True once: when the machine's daemon listens. It stays so: that daemon may restart."""
        machine = self._machine
        if self.now is not Lifetime.UNTIL_IDLE or machine is None or not listens(machine):
            return False
        self.now = Lifetime.LEAVING
        return True

    def require_staying(self) -> None:
        """Before something new is granted. Raises DaemonLeavingError."""
        if self.now is Lifetime.LEAVING:
            raise self.leaving()

    def leaving(self) -> DaemonLeavingError:
        return DaemonLeavingError(
            "this daemon grants nothing new",
            f"the machine's daemon listens on {self._machine}",
            f"ask that one: gpushare --socket {self._machine} ps",
        )
