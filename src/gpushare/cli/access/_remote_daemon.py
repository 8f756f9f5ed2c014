# SPDX-License-Identifier: Apache-2.0
"""The machine that `login` and `logout` are about."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpushare.cli._connect import config
from gpushare.model.errors import ConfigError

if TYPE_CHECKING:
    from gpushare.config.address import Remote
    from gpushare.config.credentials import Credentials


def meant(host: str | None, ca: Path | None = None) -> "tuple[Remote, Credentials]":
    """By address or context; None: the one that commands speak to. Raises ConfigError."""
    from gpushare.config.address import Remote  # noqa: PLC0415
    from gpushare.config.contexts import from_environment  # noqa: PLC0415 (start-up time)

    found = config()
    stored = found.credentials
    there: Path | Remote | None
    if host in found.contexts.named:
        there = found.contexts.find(host, stored)
    elif host:
        named = {**found.env, "GPUSHARE_HOST": host, "GPUSHARE_TOKEN": ""}
        there = from_environment(named, stored)
    else:
        there = found.reachable()
    if not isinstance(there, Remote):
        raise ConfigError("which machine is meant?", "no context is set", "name its HOST")
    return (replace(there, ca=ca.absolute()) if ca else there), stored
