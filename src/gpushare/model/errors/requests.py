# SPDX-License-Identifier: Apache-2.0
"""Requests that cannot be understood, name what is not there, or are not allowed."""

from .base import GpushareError


class UsageError(GpushareError):
    """The request is invalid."""

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
    """A configuration file or variable is invalid."""

    code = "GS1103"


class UnknownProfileError(UsageError):
    """No simulated machine has this name."""

    code = "GS1104"


class PolicyError(UsageError):
    """The policy contradicts itself."""

    code = "GS1105"


class TraceError(UsageError):
    """The file is no recorded trace, or is damaged."""

    code = "GS1106"


class NotFoundError(GpushareError):
    """The named object does not exist."""

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


class NoSuchTenantError(NotFoundError):
    """No tenant has this name."""

    code = "GS1204"


class NoSuchTokenError(NotFoundError):
    """No token has this id."""

    code = "GS1205"


class DeniedError(GpushareError):
    """The caller has no permission."""

    code, exit_code, status = "GS1300", 5, 403


class NotYoursError(DeniedError):
    """The share belongs to another user."""

    code = "GS1301"


class SocketDeniedError(DeniedError):
    """The daemon's socket refuses this user."""

    code = "GS1302"


class QuotaError(DeniedError):
    """The tenant's quota is used up."""

    code = "GS1303"


class UnauthenticatedError(DeniedError):
    """The caller is not authenticated."""

    code, status = "GS1304", 401


class RoleError(DeniedError):
    """The caller's role does not allow this."""

    code = "GS1305"


class RateLimitedError(DeniedError):
    """The caller sends too many requests."""

    code, status, retryable = "GS1306", 429, True

    def __init__(self, what: str, because: str = "", hint: str = "", after: int = 1) -> None:
        """`after`: seconds until it may be asked again."""
        super().__init__(what, because, hint)
        self.after = after
