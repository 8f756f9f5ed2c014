# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration again, for SIGHUP and for the API.

1. reads every source; 2. checks what would keep a daemon from starting with it; 3. replaces the
settings that a running daemon can follow; 4. says what changed. An error in 1 or 2 changes nothing.
"""

from collections.abc import Callable

from gpushare.config.reloading import changes, followed
from gpushare.config.settings import Settings
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.live_settings import LiveSettings, Reread, no_files
from gpushare.model.errors import GpushareError
from gpushare.model.operations.reload import ReloadReport


class DaemonReload:
    """`check` raises ConfigError for settings with which no daemon could start."""

    def __init__(
        self,
        live: LiveSettings | None,
        reread: Reread,
        bus: Bus,
        check: Callable[[Settings], object],
    ) -> None:
        self._live, self._reread, self._bus, self._check = live, reread, bus, check

    def reload(self, by: str) -> ReloadReport:
        """`by`: who asked. Raises ConfigError."""
        live = self._live
        try:
            new = self._reread() if live else no_files()
            self._check(new.settings)
        except GpushareError as error:
            why = f": {error.because}" if error.because else ""
            self._bus.publish("config.rejected", f"asked by {by}: {error.what}{why}")
            raise
        assert live is not None
        report = ReloadReport(changes=changes(live.now, new.settings), warnings=new.warnings)
        live.put(followed(live.now, new.settings))
        self._bus.publish("config.reloaded", f"asked by {by}: {report.text}")
        return report
