# SPDX-License-Identifier: Apache-2.0
"""The one tree of errors.

Every error says what happened, because of what, which command helps, and carries a stable code:

    GpushareError                      GS1000  exit 1
    ├── UsageError                     GS11xx  exit 2    HTTP 400
    │   ├── BadQuantityError           GS1101
    │   ├── BadSpecError               GS1102
    │   ├── ConfigError                GS1103
    │   └── UnknownProfileError        GS1104
    ├── NotFoundError                  GS12xx  exit 4    HTTP 404
    │   ├── NoSuchShareError           GS1201
    │   ├── NoSuchGpuError             GS1202
    │   └── NoLogError                 GS1203
    ├── DeniedError                    GS13xx  exit 5    HTTP 403
    │   ├── NotYoursError              GS1301
    │   └── SocketDeniedError          GS1302
    ├── DaemonError                    GS14xx  exit 6    HTTP 503
    │   ├── DaemonUnreachableError     GS1401
    │   ├── DaemonRunningError         GS1402
    │   └── ProtocolError              GS1403
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
    │   ├── UnsupportedError           GS1511
    │   ├── BoardCorruptError          GS1512
    │   └── MoveFailedError            GS1513
    ├── StateError                     GS16xx  exit 1    HTTP 500
    │   ├── StateCorruptError          GS1601
    │   ├── StateFullError             GS1602
    │   └── StateVersionError          GS1603
    ├── NeverFitsError                 GS1701  exit 2    HTTP 422
    ├── NoCapacityError                GS1702  exit 75   HTTP 409
    ├── ConflictError                  GS1703  exit 1    HTTP 409
    ├── NotSuspendableError            GS1704  exit 1    HTTP 409
    ├── HostMemoryError                GS1705  exit 75   HTTP 409
    ├── WaitTimeoutError               GS1801  exit 124  HTTP 504
    ├── CheckFailedError               GS1802  exit 3    HTTP 409
    ├── MoveTimeoutError               GS1803  exit 124  HTTP 504
    ├── ProgramNotFoundError           GS1901  exit 127  HTTP 400
    └── ProgramNotExecutableError      GS1902  exit 126  HTTP 400

`retryable` separates what may pass by itself from what will not. Errors are caught in two places
only: the command line's `main()` and the API's error handler.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as the API sends it; the shape of `-o json` errors too."""

    code: str
    what: str
    because: str = ""
    hint: str = ""


class GpushareError(Exception):
    """Something gpushare could not do: what, because, hint."""

    code: ClassVar[str] = "GS1000"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, because: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.because, self.hint = what, because, hint

    def __str__(self) -> str:
        return f"{self.what}: {self.because}" if self.because else self.what

    def body(self) -> ErrorBody:
        return ErrorBody(self.code, self.what, self.because, self.hint)


class UsageError(GpushareError):
    """The request cannot be understood as it stands."""

    code, exit_code, status = "GS1100", 2, 400


class BadQuantityError(UsageError):
    """A size, percent or duration is malformed."""

    code = "GS1101"

    def __init__(self, what: str, text: str = "", hint: str = "") -> None:
        if text or hint:
            super().__init__(f"cannot read the {what} {text!r}", "it is not a quantity", hint)
        else:
            super().__init__(what)


class BadSpecError(UsageError):
    """A share spec contradicts itself or has unknown fields."""

    code = "GS1102"


class ConfigError(UsageError):
    """A configuration file or variable is wrong."""

    code = "GS1103"


class UnknownProfileError(UsageError):
    """No simulated machine has this name."""

    code = "GS1104"


class NotFoundError(GpushareError):
    """What was named does not exist."""

    code, exit_code, status = "GS1200", 4, 404


class NoSuchShareError(NotFoundError):
    """No share has this id or name."""

    code = "GS1201"


class NoSuchGpuError(NotFoundError):
    """No GPU has this UUID or index."""

    code = "GS1202"


class NoLogError(NotFoundError):
    """The share's output went to its terminal, not to a log."""

    code = "GS1203"


class DeniedError(GpushareError):
    """The caller may not do this."""

    code, exit_code, status = "GS1300", 5, 403


class NotYoursError(DeniedError):
    """The share belongs to someone else."""

    code = "GS1301"


class SocketDeniedError(DeniedError):
    """The daemon's socket refuses this user."""

    code = "GS1302"


class DaemonError(GpushareError):
    """The daemon cannot serve."""

    code, exit_code, status, retryable = "GS1400", 6, 503, True


class DaemonUnreachableError(DaemonError):
    """No daemon answers on the socket."""

    code = "GS1401"


class DaemonRunningError(DaemonError):
    """Another daemon holds the state directory."""

    code, retryable = "GS1402", False


class ProtocolError(DaemonError):
    """The daemon answered something this client does not understand."""

    code, retryable = "GS1403", False


class HardwareError(GpushareError):
    """The driver or the hardware is missing or failed."""

    code, exit_code, status = "GS1500", 7, 502


class NoDriverError(HardwareError):
    """The NVIDIA driver is not installed or not loaded."""

    code = "GS1501"


class DriverMismatchError(HardwareError):
    """The driver's library and kernel module have different versions."""

    code = "GS1502"


class GpuLostError(HardwareError):
    """The GPU has fallen off the bus."""

    code = "GS1503"


class MpsError(HardwareError):
    """The MPS control daemon refused or failed."""

    code = "GS1504"


class MpsStuckError(MpsError):
    """The MPS control daemon does not answer."""

    code, retryable = "GS1505", True


class GuardMissingError(HardwareError):
    """The guard library is not where it should be."""

    code = "GS1506"


class RegionCorruptError(HardwareError):
    """A share's shared-memory region is not one of ours."""

    code = "GS1507"


class NotEnforcedError(HardwareError):
    """What was promised is not what is delivered."""

    code = "GS1508"


class CgroupError(HardwareError):
    """A control group could not be made or changed."""

    code = "GS1509"


class NoGpuError(HardwareError):
    """The machine has no GPU."""

    code = "GS1510"


class UnsupportedError(HardwareError):
    """The machine cannot do what was asked."""

    code = "GS1511"


class BoardCorruptError(HardwareError):
    """The board on which the shares of a GPU meet is not one of ours."""

    code = "GS1512"


class MoveFailedError(HardwareError):
    """A program could not be taken off the GPU, or put back."""

    code = "GS1513"


class StateError(GpushareError):
    """The daemon's state cannot be used."""

    code = "GS1600"


class StateCorruptError(StateError):
    """The state database is damaged; it is kept as it is."""

    code = "GS1601"


class StateFullError(StateError):
    """The disk under the state database is full."""

    code, retryable = "GS1602", True


class StateVersionError(StateError):
    """The state database was written by a newer gpushare."""

    code = "GS1603"


class NeverFitsError(GpushareError):
    """No GPU of this machine could ever hold the share."""

    code, exit_code, status = "GS1701", 2, 422


class NoCapacityError(GpushareError):
    """The share does not fit now."""

    code, exit_code, status, retryable = "GS1702", 75, 409, True


class ConflictError(GpushareError):
    """The share's state does not allow this."""

    code, status = "GS1703", 409


class NotSuspendableError(GpushareError):
    """The share's programs cannot be taken off the GPU."""

    code, status = "GS1704", 409


class HostMemoryError(GpushareError):
    """There is not enough host memory for what a share has on the GPU."""

    code, exit_code, status, retryable = "GS1705", 75, 409, True


class WaitTimeoutError(GpushareError):
    """The time to wait ran out."""

    code, exit_code, status, retryable = "GS1801", 124, 504, True


class CheckFailedError(GpushareError):
    """A check says no."""

    code, exit_code, status = "GS1802", 3, 409


class MoveTimeoutError(GpushareError):
    """A suspend or resume took too long."""

    code, exit_code, status, retryable = "GS1803", 124, 504, True


class ProgramNotFoundError(GpushareError):
    """The program to run does not exist."""

    code, exit_code, status = "GS1901", 127, 400


class ProgramNotExecutableError(GpushareError):
    """The program to run may not be executed."""

    code, exit_code, status = "GS1902", 126, 400


def catalogue() -> dict[str, type[GpushareError]]:
    """Every code and its error, in the order of the codes."""
    found: dict[str, type[GpushareError]] = {}
    waiting: list[type[GpushareError]] = [GpushareError]
    while waiting:
        error = waiting.pop()
        found[error.code] = error
        waiting += error.__subclasses__()
    return dict(sorted(found.items()))


def from_body(body: ErrorBody) -> GpushareError:
    """Raise-able copy of an error that came over the wire."""
    kind = catalogue().get(body.code, GpushareError)
    error = kind(body.what)
    GpushareError.__init__(error, body.what, body.because, body.hint)
    return error
