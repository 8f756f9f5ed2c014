# SPDX-License-Identifier: Apache-2.0
"""What can be set about a daemon; `client.config` reads it from files and variables."""

from enum import StrEnum, unique
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.units import KIB, MIB, Bytes


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


class Settings(SchedulingSettings, kw_only=True):
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
    listen: Annotated[
        str, Meta(description="`HOST:PORT` for callers from other machines; empty: there are none.")
    ] = ""
    tls_cert: Annotated[
        Path | None,
        Meta(description="The certificate for `listen`, PEM with its chain; read again on change."),
    ] = None
    tls_key: Annotated[Path | None, Meta(description="The key of that certificate, PEM.")] = None
    tls_client_ca: Annotated[
        Path | None,
        Meta(description="If set, remote callers must also bring a certificate of this authority."),
    ] = None
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names by which remote callers may call this machine, beside its own."),
    ] = ()
    operators: Annotated[
        tuple[str, ...], Meta(description="Unix groups whose members act on everyone's shares.")
    ] = ()
    viewers: Annotated[
        tuple[str, ...], Meta(description="Unix groups whose members may only look.")
    ] = ()
    rate_limit: Annotated[
        float,
        Meta(ge=0, description="Calls a second that each caller may keep up; 0: any number."),
    ] = 100.0
    rate_burst: Annotated[
        int, Meta(ge=1, description="Calls that each caller may make at once before that counts.")
    ] = 500
    oidc_issuer: Annotated[
        str, Meta(description="URL of the OpenID Connect issuer whose logins count; empty: none.")
    ] = ""
    oidc_audience: Annotated[
        str, Meta(description="For whom the issuer's tokens must be made (claim `aud`).")
    ] = "gpushare"
    oidc_client: Annotated[
        str, Meta(description="The client id that `gpushare login` uses; empty: the audience.")
    ] = ""
    oidc_user_claim: Annotated[str, Meta(description="The claim that names the unix account.")] = (
        "preferred_username"
    )
    oidc_role_claim: Annotated[
        str, Meta(description="The claim with the user's roles or groups; empty: not looked at.")
    ] = ""
    oidc_operators: Annotated[
        tuple[str, ...], Meta(description="Values of that claim that make somebody an operator.")
    ] = ()
    audit_file: Annotated[
        Path | None,
        Meta(
            description="Where every change and refusal is recorded, line after line; a chain that "
            "`gpushare audit verify` checks."
        ),
    ] = None
    audit_size: Annotated[
        Bytes, Meta(ge=64 * KIB, description="A new audit file is begun after so many bytes.")
    ] = Bytes(64 * MIB)
    audit_days: Annotated[
        int, Meta(ge=0, description="And after so many days; 0: only after that size.")
    ] = 30
    audit_copy: Annotated[
        AuditCopy,
        Meta(
            description="Where each record is sent besides: `syslog` (`/dev/log`), `journald`, or "
            "`none`."
        ),
    ] = AuditCopy.NONE
