# SPDX-License-Identifier: Apache-2.0
"""Actions, their callers and results: records in a chain, and what can be asked about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Annotated, Literal, Protocol

from msgspec import Meta

from .share import Caller
from .value import Value

OK = "ok"
HEAD = "audit.head"
START = "0" * 64  # what the first record of all continues
Moment = Annotated[datetime, Meta(tz=True)]
MOST_RECORDS = 10_000  # in one answer


class Actor(Value):
    """Who did it. `uid` None: the daemon itself, or an unknown remote caller."""

    user: str
    uid: int | None = None
    token: str | None = None


class Record(Value):
    """One line of the audit log.

    `result`: ok, or the error's code. `prev`: the hash of the record before. `hash`: SHA-256 of the
    line as it stands with an empty hash.
    """

    seq: int
    at: datetime
    actor: Actor
    action: str
    object: str
    result: str
    detail: dict[str, str]
    prev: str
    hash: str = ""


class RecordList(Value):
    items: tuple[Record, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class AuditQuery(Value):
    """Which records; all conditions hold at once.

    `after`, `upto`: their numbers. `since`, `until`: their times. `actor`: a user's name, uid or
    token. `action`, `object`: a part of it. `last`: of those, the newest so many; 0: from the
    oldest on, as many as one answer holds.
    """

    after: Annotated[int, Meta(ge=0)] = 0
    upto: Annotated[int, Meta(ge=0)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    actor: str = ""
    action: str = ""
    object: str = ""
    last: Annotated[int, Meta(ge=0, le=MOST_RECORDS)] = 1000


class Mark(Value):
    """Where a chain ended at one time."""

    seq: int
    hash: str


@unique
class Wrong(StrEnum):
    """What can be the matter with a chain."""

    EDITED = "edited"
    DELETED = "deleted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    FOREIGN = "foreign signature"


class Flaw(Value):
    """The first thing that is wrong. `file` and `line` (from 1) are where it shows."""

    kind: Wrong
    seq: int
    file: str
    line: int
    because: str


class AuditReport(Value):
    """What a walk along the chain found.

    `first`, `last`: numbers of the records there are; 0: none. `signed`: up to where a head proves
    them. `key`: whose signatures they are. `notes`: what the reader should know besides.
    """

    ok: bool
    records: int
    first: int
    last: int
    hash: str
    signed: int
    key: str = ""
    files: tuple[str, ...] = ()
    flaw: Flaw | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deed:
    """One call at the API's edge, after it has ended; `caller` None: not authenticated."""

    method: str
    path: str
    ref: str
    caller: Caller | None
    body: object
    answer: object
    result: str


class Audit(Protocol):
    """Hears of every call."""

    def ready(self) -> None:
        """Before anything is changed: raises StateFullError while it could not be recorded."""
        ...

    def tell(self, deed: Deed) -> None:
        """Keep what is worth keeping; never raises."""
        ...


class AuditService(Protocol):
    """What can be asked about records: operators see all, others what they did themselves."""

    async def records(self, query: AuditQuery, caller: Caller) -> Sequence[Record]:
        """In the order of their numbers; NotFoundError where no log is kept."""
        ...

    async def verify(self, caller: Caller, *, partial: bool = False) -> AuditReport:
        """Walk the whole chain. `partial`: older files were moved away. Raises DeniedError."""
        ...

    async def heads(self, caller: Caller) -> Sequence[Record]:
        """Heads, oldest first. Raises RoleError, NotFoundError."""
        ...

    async def sign(self, caller: Caller) -> Record:
        """A head over everything until now. Raises DeniedError, StateFullError."""
        ...
