# SPDX-License-Identifier: Apache-2.0
"""What can be set about a daemon; `client.config` reads it from files and variables."""

from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from .units import Bytes
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
    gate_quantum: Annotated[
        int,
        Meta(
            ge=20,
            le=100_000,
            description="GPU time in microseconds between two looks of low-priority work at "
            "whether it must make way.",
        ),
    ] = 150
    best_effort_minimum: Annotated[
        int,
        Meta(
            ge=0,
            le=50,
            description="Percent of GPU time that low-priority work gets however busy "
            "high-priority work is.",
        ),
    ] = 2
    gate_grace: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Longest pause of high-priority work, in microseconds, that low-priority "
            "work does not fill; 0: learned from the pauses there are.",
        ),
    ] = 0
    swap_memory: Annotated[
        Bytes | None,
        Meta(description="Host memory for what suspended shares had on GPUs; 0: none is kept."),
    ] = None
    swap_ahead: Annotated[
        Bytes, Meta(description="Of that, what is kept ready for each user before it is needed.")
    ] = Bytes(0)
    swap_dir: Annotated[
        Path | None,
        Meta(
            description="Where that memory is: a folder on a tmpfs. Root mounts one below `/run`; "
            "a folder on a disk is left for `/dev/shm`."
        ),
    ] = None
    turn_seconds: Annotated[
        float,
        Meta(gt=0, description="How long one of the shares that take turns has the GPU memory."),
    ] = 30.0
