# SPDX-License-Identifier: Apache-2.0
"""What can be set about a daemon; where values come from is the command line's business."""

from enum import StrEnum, unique
from pathlib import Path

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
    """`reconcile_interval`: seconds between two looks at the machine."""

    socket: Path
    state_dir: Path
    runtime_dir: Path
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT
    reconcile_interval: float = 2.0
