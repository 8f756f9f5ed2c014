# SPDX-License-Identifier: Apache-2.0
"""Shares that do not fit, moves and waits that fail, programs that cannot start."""

from .base import GpushareError


class NeverFitsError(GpushareError):
    """The share can never fit on this machine."""

    code, exit_code, status = "GS1701", 2, 422


class NoCapacityError(GpushareError):
    """The share does not fit now."""

    code, exit_code, status, retryable = "GS1702", 75, 409, True


class ConflictError(GpushareError):
    """The share's state does not allow this."""

    code, status = "GS1703", 409


class NotSuspendableError(GpushareError):
    """The share's memory cannot leave the GPU."""

    code, status = "GS1704", 409


class HostMemoryError(GpushareError):
    """The host memory for the share's GPU memory is not sufficient."""

    code, exit_code, status, retryable = "GS1705", 75, 409, True


class NotMigratableError(GpushareError):
    """The share's programs cannot move to another GPU."""

    code, status = "GS1706", 409


class WaitTimeoutError(GpushareError):
    """The waiting time is over."""

    code, exit_code, status, retryable = "GS1801", 124, 409, True


class CheckFailedError(GpushareError):
    """A check failed."""

    code, exit_code, status = "GS1802", 3, 409


class MoveTimeoutError(GpushareError):
    """A suspend or resume took too long."""

    code, exit_code, status, retryable = "GS1803", 124, 409, True


class UntriedError(GpushareError):
    """Nothing of a check could be tried."""

    code, status, retryable = "GS1804", 409, True


class ProgramNotFoundError(GpushareError):
    """The program to run does not exist."""

    code, exit_code, status = "GS1901", 127, 400


class ProgramNotExecutableError(GpushareError):
    """The program to run may not be executed."""

    code, exit_code, status = "GS1902", 126, 400


class OutputError(GpushareError):
    """The output cannot be written where it goes."""

    code, exit_code, status = "GS1903", 1, 400
