# SPDX-License-Identifier: Apache-2.0
"""Records every call in the audit log when it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from gpushare.model.audit import OK, Audit, Deed
from gpushare.model.errors import BadSpecError, GpushareError
from gpushare.model.share import Caller


class NoAudit:
    """Used where no audit log is kept."""

    def ready(self) -> None:
        """Always ready."""

    def tell(self, deed: Deed) -> None:
        """Discards the record."""


@dataclass
class AuditedCall:
    """What the endpoint has found out about a call so far."""

    caller: Caller | None = None
    body: object = None
    answer: object = None


@contextmanager
def audited(audit: Audit, method: str, path: str, ref: str = "") -> Iterator[AuditedCall]:
    """Record the result of the call in the block.

    Raises an error before a call that changes something, if it cannot be recorded.
    """
    call, result = AuditedCall(), OK
    try:
        if method != "GET":
            # A change that cannot be recorded must be refused before it happens.
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
