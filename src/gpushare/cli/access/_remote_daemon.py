# SPDX-License-Identifier: Apache-2.0
"""Finds the daemon that `login` and `logout` refer to."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpushare.cli._connect import config
from gpushare.model.errors import ConfigError

if TYPE_CHECKING:
    from gpushare.config.address import Remote
    from gpushare.config.credentials import Credentials


def remote_daemon(host: str | None, ca: Path | None = None) -> "tuple[Remote, Credentials]":
    """By address or context; None: the daemon that commands use. Raises ConfigError."""
    from gpushare.config.address import Remote  # noqa: PLC0415
    from gpushare.config.contexts import from_environment  # noqa: PLC0415 (start-up time)

    settings = config()
    stored = settings.credentials
    remote: Path | Remote | None
    if host in settings.contexts.named:
        remote = settings.contexts.find(host, stored)
    elif host:
        named = {**settings.env, "GPUSHARE_HOST": host, "GPUSHARE_TOKEN": ""}
        remote = from_environment(named, stored)
    else:
        remote = settings.reachable()
    if not isinstance(remote, Remote):
        raise ConfigError(
            "no HOST given", "the selected daemon is on this machine", "gpushare login HOST"
        )
    return (replace(remote, ca=ca.absolute()) if ca else remote), stored
