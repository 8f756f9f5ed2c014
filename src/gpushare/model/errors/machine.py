# SPDX-License-Identifier: Apache-2.0
"""A daemon that cannot serve, hardware that cannot do it, records that cannot be used."""

from .base import GpushareError


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
    """The client does not understand the daemon's answer."""

    code, retryable = "GS1403", False


class DaemonLeavingError(DaemonError):
    """The daemon ends with its last share, because another one serves the machine."""

    code, retryable = "GS1404", False


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
    """The guard library is missing."""

    code = "GS1506"


class RegionCorruptError(HardwareError):
    """The region of a share is damaged."""

    code = "GS1507"


class NotEnforcedError(HardwareError):
    """A limit that was promised is not enforced."""

    code = "GS1508"


class CgroupError(HardwareError):
    """A control group could not be created or changed."""

    code = "GS1509"


class NoGpuError(HardwareError):
    """The machine has no GPU."""

    code = "GS1510"


class UnsupportedError(HardwareError):
    """The machine does not support the request."""

    code, status = "GS1511", 422


class GpuPageCorruptError(HardwareError):
    """The GPU page, which the shares of a GPU have in common, is damaged."""

    code = "GS1512"


class MoveFailedError(HardwareError):
    """A share's memory could not be moved off the GPU or back."""

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


class AuditBrokenError(StateError):
    """The audit log was changed after it was written."""

    code, exit_code = "GS1604", 3


class StateLostError(StateError):
    """The state database lacks changes that the daemon had committed."""

    code = "GS1605"


class BackupError(StateError):
    """A file is no backup that can be restored."""

    code = "GS1606"


class RestoreRefusedError(StateError):
    """The backup is sound, but this machine is not in a state that it could be restored to."""

    code = "GS1607"
