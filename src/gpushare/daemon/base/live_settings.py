# SPDX-License-Identifier: Apache-2.0
"""The settings in force, which a reload replaces.

Parts that follow a reload read `now` each time they need a value; `follow` is for those that must
be notified.
"""

from collections.abc import Callable

from gpushare.config.settings import Settings
from gpushare.config.sources import Config
from gpushare.model.errors import ConfigError

Reread = Callable[[], Config]


def no_files() -> Config:
    """For a daemon that was started without configuration files."""
    raise ConfigError(
        "cannot read the configuration again",
        "this daemon was started with fixed settings, without configuration files",
        "restart it with: gpushare daemon",
    )


class LiveSettings:
    def __init__(self, settings: Settings) -> None:
        self.now = settings
        self._followers: list[Callable[[Settings], None]] = []

    def follow(self, call: Callable[[Settings], None]) -> None:
        """Call it with the settings after each reload."""
        self._followers.append(call)

    def put(self, settings: Settings) -> None:
        """Make these the settings in force."""
        self.now = settings
        for call in self._followers:
            call(settings)
