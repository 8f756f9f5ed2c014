# SPDX-License-Identifier: Apache-2.0
"""The edge at which every call is told to the audit log."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from gpushare.model.audit import OK, Audit, Deed
from gpushare.model.errors import BadSpecError, GpushareError
from gpushare.model.share import Caller


class NoAudit:
    """Where no audit log is kept."""

    def ready(self) -> None:
        """Nothing has to be written."""

    def tell(self, deed: Deed) -> None:
        """Nobody listens."""


@dataclass
class AuditedCall:
    """What is known of a call so far; the endpoint fills it in."""

    caller: Caller | None = None
    body: object = None
    answer: object = None


@contextmanager
def audited(audit: Audit, method: str, path: str, ref: str = "") -> Iterator[AuditedCall]:
    """Tell how the call in the block ended; nothing that changes things begins unrecorded."""
    call, result = AuditedCall(), OK
    try:
        if method != "GET":
            audit.ready()
        yield call
    except BaseException as error:
        result = _result_of(error)
        raise
    finally:
        audit.tell(Deed(method, path, ref, call.caller, call.body, call.answer, result))


def _result_of(error: BaseException) -> str:
    if isinstance(error, msgspec.ValidationError):
        return BadSpecError.code
    return error.code if isinstance(error, GpushareError) else GpushareError.code
