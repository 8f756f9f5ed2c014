# SPDX-License-Identifier: Apache-2.0
"""What every error is."""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as the API and `-o json` show it."""

    code: str
    what: str
    because: str = ""
    hint: str = ""


class GpushareError(Exception):
    """Something gpushare could not do: what, because, hint.

    `str` has what and because; a traceback also prints the notes, which are hint and code.
    """

    code: ClassVar[str] = "GS1000"
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, because: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.because, self.hint = what, because, hint
        # Set, not added: an error that came over the wire is initialised a second time.
        self.__notes__ = [*([f"hint: {hint}"] if hint else []), f"code: {self.code}"]

    def __str__(self) -> str:
        return f"{self.what}: {self.because}" if self.because else self.what

    def body(self) -> ErrorBody:
        return ErrorBody(self.code, self.what, self.because, self.hint)


def unexpected(what: str, error: Exception) -> GpushareError:
    """`error` as one of the tree: itself, or trouble that no code expected."""
    if isinstance(error, GpushareError):
        return error
    return GpushareError(what, f"{type(error).__name__}: {error}", "see the daemon's log")
