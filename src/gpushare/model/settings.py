# SPDX-License-Identifier: Apache-2.0
"""What can be set about a daemon; `client.config` reads it from files and variables."""

from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from .value import Value


@unique
class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


@unique
class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(Value):
    """The descriptions are what `docs/reference/config.md` says."""

    socket: Annotated[Path, Meta(description="The unix socket that the daemon listens on.")]
    state_dir: Annotated[
        Path, Meta(description="The daemon's books (`state.db`), and its log when detached.")
    ]
    runtime_dir: Annotated[
        Path, Meta(description="Regions and MPS pipes; must belong to the daemon alone.")
    ]
    log_level: Annotated[
        LogLevel, Meta(description="The least severe of the daemon's messages that is written.")
    ] = LogLevel.INFO
    log_format: Annotated[
        LogFormat, Meta(description="`text` for people, `json` for log collectors.")
    ] = LogFormat.TEXT
    reconcile_interval: Annotated[
        float, Meta(gt=0, description="Seconds between two looks at the machine.")
    ] = 5.0
    mps_protocol: Annotated[
        int,
        Meta(
            ge=2,
            le=3,
            description="What MPS daemons are started to speak: 2 on every driver, 3 from 615 on.",
        ),
    ] = 2
