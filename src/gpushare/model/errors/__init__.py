# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors.

Every error says what happened, because of what, which command helps, and carries a stable code:

    GpushareError                      GS1000  exit 1
    ├── UsageError                     GS11xx  exit 2    HTTP 400
    │   ├── BadQuantityError           GS1101
    │   ├── BadSpecError               GS1102
    │   ├── ConfigError                GS1103
    │   ├── UnknownProfileError        GS1104
    │   ├── PolicyError                GS1105
    │   └── TraceError                 GS1106
    ├── NotFoundError                  GS12xx  exit 4    HTTP 404
    │   ├── NoSuchShareError           GS1201
    │   ├── NoSuchGpuError             GS1202
    │   ├── NoLogError                 GS1203
    │   ├── NoSuchTenantError          GS1204
    │   └── NoSuchTokenError           GS1205
    ├── DeniedError                    GS13xx  exit 5    HTTP 403
    │   ├── NotYoursError              GS1301
    │   ├── SocketDeniedError          GS1302
    │   ├── QuotaError                 GS1303
    │   ├── UnauthenticatedError       GS1304            HTTP 401
    │   ├── RoleError                  GS1305
    │   └── RateLimitedError           GS1306            HTTP 429
    ├── DaemonError                    GS14xx  exit 6    HTTP 503
    │   ├── DaemonUnreachableError     GS1401
    │   ├── DaemonRunningError         GS1402
    │   ├── ProtocolError              GS1403
    │   └── DaemonLeavingError         GS1404
    ├── HardwareError                  GS15xx  exit 7    HTTP 502
    │   ├── NoDriverError              GS1501
    │   ├── DriverMismatchError        GS1502
    │   ├── GpuLostError               GS1503
    │   ├── MpsError                   GS1504
    │   ├── MpsStuckError              GS1505
    │   ├── GuardMissingError          GS1506
    │   ├── RegionCorruptError         GS1507
    │   ├── NotEnforcedError           GS1508
    │   ├── CgroupError                GS1509
    │   ├── NoGpuError                 GS1510
    │   ├── UnsupportedError           GS1511            HTTP 422
    │   ├── GpuPageCorruptError        GS1512
    │   └── MoveFailedError            GS1513
    ├── StateError                     GS16xx  exit 1    HTTP 500
    │   ├── StateCorruptError          GS1601
    │   ├── StateFullError             GS1602
    │   ├── StateVersionError          GS1603
    │   ├── AuditBrokenError           GS1604  exit 3
    │   ├── StateLostError             GS1605
    │   ├── BackupError                GS1606
    │   └── RestoreRefusedError        GS1607
    ├── NeverFitsError                 GS1701  exit 2    HTTP 422
    ├── NoCapacityError                GS1702  exit 75   HTTP 409
    ├── ConflictError                  GS1703  exit 1    HTTP 409
    ├── NotSuspendableError            GS1704  exit 1    HTTP 409
    ├── HostMemoryError                GS1705  exit 75   HTTP 409
    ├── NotMigratableError             GS1706  exit 1    HTTP 409
    ├── WaitTimeoutError               GS1801  exit 124  HTTP 409
    ├── CheckFailedError               GS1802  exit 3    HTTP 409
    ├── MoveTimeoutError               GS1803  exit 124  HTTP 409
    ├── UntriedError                   GS1804  exit 1    HTTP 409
    ├── ProgramNotFoundError           GS1901  exit 127  HTTP 400
    ├── ProgramNotExecutableError      GS1902  exit 126  HTTP 400
    └── OutputError                    GS1903  exit 1    HTTP 400

`retryable`: the error may be temporary. Code catches errors where it can recover; they are shown in
two places only, the command line's `main()` and the API's error handler.
"""

from __future__ import annotations

from .base import (
    ErrorBody,
    GpushareError,
    unexpected,
)
from .machine import (
    AuditBrokenError,
    BackupError,
    CgroupError,
    DaemonError,
    DaemonLeavingError,
    DaemonRunningError,
    DaemonUnreachableError,
    DriverMismatchError,
    GpuLostError,
    GpuPageCorruptError,
    GuardMissingError,
    HardwareError,
    MoveFailedError,
    MpsError,
    MpsStuckError,
    NoDriverError,
    NoGpuError,
    NotEnforcedError,
    ProtocolError,
    RegionCorruptError,
    RestoreRefusedError,
    StateCorruptError,
    StateError,
    StateFullError,
    StateLostError,
    StateVersionError,
    UnsupportedError,
)
from .requests import (
    BadQuantityError,
    BadSpecError,
    ConfigError,
    DeniedError,
    NoLogError,
    NoSuchGpuError,
    NoSuchShareError,
    NoSuchTenantError,
    NoSuchTokenError,
    NotFoundError,
    NotYoursError,
    PolicyError,
    QuotaError,
    RateLimitedError,
    RoleError,
    SocketDeniedError,
    TraceError,
    UnauthenticatedError,
    UnknownProfileError,
    UsageError,
)
from .shares import (
    CheckFailedError,
    ConflictError,
    HostMemoryError,
    MoveTimeoutError,
    NeverFitsError,
    NoCapacityError,
    NotMigratableError,
    NotSuspendableError,
    OutputError,
    ProgramNotExecutableError,
    ProgramNotFoundError,
    UntriedError,
    WaitTimeoutError,
)

__all__ = [
    "AuditBrokenError",
    "BackupError",
    "BadQuantityError",
    "BadSpecError",
    "CgroupError",
    "CheckFailedError",
    "ConfigError",
    "ConflictError",
    "DaemonError",
    "DaemonLeavingError",
    "DaemonRunningError",
    "DaemonUnreachableError",
    "DeniedError",
    "DriverMismatchError",
    "ErrorBody",
    "GpuLostError",
    "GpuPageCorruptError",
    "GpushareError",
    "GuardMissingError",
    "HardwareError",
    "HostMemoryError",
    "MoveFailedError",
    "MoveTimeoutError",
    "MpsError",
    "MpsStuckError",
    "NeverFitsError",
    "NoCapacityError",
    "NoDriverError",
    "NoGpuError",
    "NoLogError",
    "NoSuchGpuError",
    "NoSuchShareError",
    "NoSuchTenantError",
    "NoSuchTokenError",
    "NotEnforcedError",
    "NotFoundError",
    "NotMigratableError",
    "NotSuspendableError",
    "NotYoursError",
    "OutputError",
    "PolicyError",
    "ProgramNotExecutableError",
    "ProgramNotFoundError",
    "ProtocolError",
    "QuotaError",
    "RateLimitedError",
    "RegionCorruptError",
    "RestoreRefusedError",
    "RoleError",
    "SocketDeniedError",
    "StateCorruptError",
    "StateError",
    "StateFullError",
    "StateLostError",
    "StateVersionError",
    "TraceError",
    "UnauthenticatedError",
    "UnknownProfileError",
    "UnsupportedError",
    "UntriedError",
    "UsageError",
    "WaitTimeoutError",
    "catalogue",
    "from_body",
    "unexpected",
]


def catalogue() -> dict[str, type[GpushareError]]:
    """Every code and its error, in the order of the codes."""
    by_code: dict[str, type[GpushareError]] = {}
    waiting: list[type[GpushareError]] = [GpushareError]
    while waiting:
        error = waiting.pop()
        by_code[error.code] = error
        waiting += error.__subclasses__()
    return dict(sorted(by_code.items()))


def from_body(body: ErrorBody) -> GpushareError:
    """Raise-able copy of an error that came over the wire."""
    kind = catalogue().get(body.code, GpushareError)
    error = kind(body.what)
    GpushareError.__init__(error, body.what, body.because, body.hint)
    return error
