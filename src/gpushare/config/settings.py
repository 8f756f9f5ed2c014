# SPDX-License-Identifier: Apache-2.0
"""The settings of the daemon. `config.sources` reads them from files and variables."""

from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.state.program_end import LONGEST_OUTPUT, RecordBounds
from gpushare.model.units import GIB, KIB, MIB, Bytes

MOST_BYTES = 2**50  # 1 PiB, far beyond any machine
_KEPT = RecordBounds()


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


@unique
class AuditCopy(StrEnum):
    NONE = "none"
    SYSLOG = "syslog"
    JOURNALD = "journald"


@unique
class AutoCordon(StrEnum):
    LIFT = "lift"
    KEEP = "keep"
    OFF = "off"


@unique
class Scrub(StrEnum):
    NEVER = "never"
    AUTO = "auto"
    ALWAYS = "always"


@unique
class VisibleDevices(StrEnum):
    NUMBERS = "numbers"
    UUIDS = "uuids"


class Settings(SchedulingSettings, kw_only=True):
    """The descriptions are printed in docs/reference/config.md."""

    socket: Annotated[Path, Meta(description="Unix socket that the daemon listens on.")]
    state_dir: Annotated[
        Path,
        Meta(description="Directory of `state.db`, and of the log with `--detach`."),
    ]
    runtime_dir: Annotated[
        Path,
        Meta(description="Directory of regions and MPS pipes; for this daemon only."),
    ]
    log_level: Annotated[LogLevel, Meta(description="Minimum severity of log messages.")] = (
        LogLevel.INFO
    )
    log_format: Annotated[
        LogFormat, Meta(description="`text` for people, `json` for log collectors.")
    ] = LogFormat.TEXT
    reconcile_interval: Annotated[
        float, Meta(ge=0.1, le=3600, description="Seconds between reconcile passes.")
    ] = 5.0
    mps_protocol: Annotated[
        int,
        Meta(
            ge=2,
            le=3,
            description="Protocol of MPS daemons: 2 on every driver, 3 on driver 615 and newer "
            "(tested on simulated machines only).",
        ),
    ] = 2
    visible_devices: Annotated[
        VisibleDevices,
        Meta(
            description="How CUDA_VISIBLE_DEVICES names a share's GPUs: `numbers` where they are "
            "exact, which most programs expect, or always `uuids`."
        ),
    ] = VisibleDevices.NUMBERS
    exclusive_compute_mode: Annotated[
        bool,
        Meta(
            description="Set compute mode EXCLUSIVE_PROCESS on the GPUs of exclusive shares, so "
            "that the driver refuses programs outside them; put back at their end. Needs root. A "
            "share then has one process at a time on each GPU."
        ),
    ] = False
    proof_interval: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Seconds after which the limits of a living share are proved again, by "
            "reading only and one share in each pass; 0: never.",
        ),
    ] = 300.0
    auto_cordon: Annotated[
        AutoCordon,
        Meta(
            description="Cordon GPUs that need a reset: `lift` the cordon when the driver names no "
            "recovery action any more, `keep` it until a person lifts it, or `off`."
        ),
    ] = AutoCordon.LIFT
    scrub: Annotated[
        Scrub,
        Meta(
            description="Fill the GPU memory of ended shares with zeros and read it back before "
            "others get it: `never`, `always`, or `auto`, if the driver is loaded so that it does "
            "not clear memory itself. Costs seconds for each 10 GiB at the end of a share."
        ),
    ] = Scrub.AUTO
    swap_memory: Annotated[
        Annotated[Bytes, Meta(ge=0, le=MOST_BYTES)] | None,
        Meta(description="Maximum host memory for suspended shares; 0: none."),
    ] = None
    swap_ahead: Annotated[
        Bytes,
        Meta(ge=0, le=MOST_BYTES, description="Part of that to prepare for each user in advance."),
    ] = Bytes(0)
    swap_dir: Annotated[
        Path | None,
        Meta(
            description="Directory for that memory, on a tmpfs. Root mounts one below `/run`. If "
            "the directory is on a disk, `/dev/shm` is used."
        ),
    ] = None
    turn_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=86400,
            description="Seconds that a share with memory turns stays on the GPU.",
        ),
    ] = 30.0
    listen: Annotated[
        str, Meta(description="`HOST:PORT` to listen on for remote callers; empty: none.")
    ] = ""
    tls_cert: Annotated[
        Path | None,
        Meta(description="Certificate for `listen`, PEM with its chain; reloaded on change."),
    ] = None
    tls_key: Annotated[Path | None, Meta(description="Private key of that certificate, PEM.")] = (
        None
    )
    tls_client_ca: Annotated[
        Path | None,
        Meta(description="If set, remote callers also need a certificate of this authority."),
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Further names of this machine that remote callers may use."),
    ] = ()
    operators: Annotated[
        tuple[str, ...], Meta(description="Unix groups whose members are operators.")
    ] = ()
    viewers: Annotated[
        tuple[str, ...], Meta(description="Unix groups whose members are viewers.")
    ] = ()
    rate_limit: Annotated[
        float,
        Meta(ge=0, le=1e6, description="Requests per second for each caller; 0: no limit."),
    ] = 100.0
    rate_burst: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Requests that each caller may send at once."),
    ] = 500
    oidc_issuer: Annotated[
        str, Meta(description="URL of the OpenID Connect issuer for logins; empty: none.")
    ] = ""
    oidc_audience: Annotated[
        str, Meta(description="Required audience of the issuer's tokens (claim `aud`).")
    ] = "gpushare"
    oidc_client: Annotated[
        str, Meta(description="Client id that `gpushare login` uses; empty: the audience.")
    ] = ""
    oidc_user_claim: Annotated[str, Meta(description="Claim with the unix account.")] = (
        "preferred_username"
    )
    oidc_role_claim: Annotated[
        str, Meta(description="Claim with the user's roles or groups; empty: not used.")
    ] = ""
    oidc_operators: Annotated[
        tuple[str, ...], Meta(description="Values of that claim that make a user an operator.")
    ] = ()
    audit_file: Annotated[
        Path | None,
        Meta(
            description="File of the audit log: all changes and refused requests, in a hash chain."
        ),
    ] = None
    audit_size: Annotated[
        Bytes,
        Meta(
            ge=64 * KIB,
            le=MOST_BYTES,
            description="Size in bytes after which a new audit file starts.",
        ),
    ] = Bytes(64 * MIB)
    audit_days: Annotated[
        int,
        Meta(
            ge=0,
            le=36500,
            description="Days after which a new audit file starts; 0: by size only.",
        ),
    ] = 30
    audit_keep: Annotated[
        Bytes,
        Meta(
            ge=0,
            le=MOST_BYTES,
            description="Size in bytes of earlier audit files to keep; the oldest files are "
            "deleted; 0: keep all.",
        ),
    ] = Bytes(4 * GIB)
    ended_keep: Annotated[
        int, Meta(ge=0, le=100_000, description="Ended shares to remember on the machine.")
    ] = _KEPT.shares
    ended_keep_user: Annotated[
        int, Meta(ge=0, le=100_000, description="Ended shares to remember for each user.")
    ] = _KEPT.user_shares
    ended_days: Annotated[
        int,
        Meta(ge=0, le=3650, description="Days to remember an ended share; 0: however old it is."),
    ] = _KEPT.days
    output_keep: Annotated[
        Bytes,
        Meta(
            ge=0,
            le=LONGEST_OUTPUT,
            description="Last bytes to keep of the output of each detached program that has ended.",
        ),
    ] = _KEPT.output
    output_keep_user: Annotated[
        Bytes, Meta(ge=0, le=GIB, description="Bytes of such output to keep for each user.")
    ] = _KEPT.user_output
    output_keep_machine: Annotated[
        Bytes, Meta(ge=0, le=4 * GIB, description="Bytes of such output to keep on the machine.")
    ] = _KEPT.outputs
    log_keep: Annotated[
        Bytes,
        Meta(
            ge=0,
            le=MOST_BYTES,
            description="Bytes of log files of detached programs to keep in each user's state "
            "directory; the oldest are deleted, those of running programs never.",
        ),
    ] = Bytes(GIB)
    reconnect_timeout: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Seconds that commands and programs wait for a daemon that has gone away, "
            "while they are in the queue or follow a share.",
        ),
    ] = 300.0
    auto_start: Annotated[
        bool,
        Meta(
            description="Have `gpushare run`, `gpushare create` and `gpushare.share()` start a "
            "daemon of the caller's own where none runs; it ends when idle. Never for a daemon "
            "that is named, nor where one serves the machine."
        ),
    ] = True
    auto_stop_after: Annotated[
        float,
        Meta(
            ge=1,
            le=604800,
            description="Seconds without shares and clients after which such a daemon ends.",
        ),
    ] = 300.0
    audit_copy: Annotated[
        AuditCopy,
        Meta(description="Copy each record to: `syslog` (`/dev/log`), `journald` or `none`."),
    ] = AuditCopy.NONE

    @property
    def records(self) -> RecordBounds:
        return RecordBounds(
            shares=self.ended_keep,
            user_shares=self.ended_keep_user,
            days=self.ended_days,
            output=self.output_keep,
            user_output=self.output_keep_user,
            outputs=self.output_keep_machine,
        )


def shown(settings: Settings) -> dict[str, str]:
    """Each setting as text."""
    plain = msgspec.to_builtins(settings, enc_hook=str)
    return {name: str(value) for name, value in plain.items()}
