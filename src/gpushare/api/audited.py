# SPDX-License-Identifier: Apache-2.0
"""The edge at which every call is told to the audit log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from gpushare.model.audit import OK, Audit, Deed
from gpushare.model.errors import BadSpecError, GpushareError
from gpushare.model.share import Caller


class Unheard:
    """Where no audit log is kept."""

    def ready(self) -> None:
        """Nothing has to be written."""

    def tell(self, deed: Deed) -> None:
        """Nobody listens."""


@dataclass
class Sight:
    """What is known of a call so far; the endpoint fills it in."""

    caller: Caller | None = None
    body: object = None
    answer: object = None


@contextmanager
def audited(audit: Audit, method: str, path: str, ref: str = "") -> Iterator[Sight]:
    """Tell how the call in the block ended; nothing that changes things begins unrecorded."""
    sight, result = Sight(), OK
    try:
        if method != "GET":
            audit.ready()
        yield sight
    except BaseException as error:
        result = _code(error)
        raise
    finally:
        audit.tell(Deed(method, path, ref, sight.caller, sight.body, sight.answer, result))


def _code(error: BaseException) -> str:
    if isinstance(error, msgspec.ValidationError):
        return BadSpecError.code
    return error.code if isinstance(error, GpushareError) else GpushareError.code
