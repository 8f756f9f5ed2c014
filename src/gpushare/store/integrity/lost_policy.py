# SPDX-License-Identifier: Apache-2.0
"""Finds that the newest revisions of the policy are gone from an otherwise whole state file.

Events and the audit log name each revision. A revision that was put aside as damaged is not gone.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from msgspec.structs import replace

from gpushare.model.errors import StateCorruptError
from gpushare.model.event import Event
from gpushare.model.policy.view import PolicyView
from gpushare.store.audit.witness import policy_revision
from gpushare.store.bodies import Body
from gpushare.store.database import Database

_EVENT, _VIEW = Body(Event), Body(PolicyView)
_FOUND = (
    "SELECT max((SELECT coalesce(max(revision), 0) FROM policies), "
    "(SELECT coalesce(max(CAST(key AS INTEGER)), 0) FROM damaged WHERE origin = 'policies'))"
)


class LostPolicy(NamedTuple):
    revision: int
    why: str


def lost_policy(database: Database, audited: int) -> LostPolicy | None:
    """`audited`: the newest revision that the audit log names."""
    known = max(audited, *_of_events(database))
    found = int(database.rows(_FOUND)[0][0])
    if known <= found:
        return None
    return LostPolicy(
        known, f"the newest policy was revision {known}, the file ends with revision {found}"
    )


def raise_revision(database: Database, revision: int) -> None:
    """What is left of the policy is in force, under the number that was lost."""
    rows = database.rows("SELECT body FROM policies ORDER BY revision DESC LIMIT 1")
    left = _VIEW.decode(rows[0][0]) if rows else PolicyView()
    raised = replace(left, revision=revision, by="accept-loss", at=datetime.now(UTC))
    with database.transaction():
        database.execute("INSERT INTO policies VALUES (?, ?)", revision, _VIEW.encode(raised))


def _of_events(database: Database) -> Iterator[int]:
    yield 0
    sql = "SELECT body FROM events WHERE instr(body, CAST('policy.changed' AS BLOB))"
    for (body,) in database.rows(sql):
        with suppress(StateCorruptError):  # a damaged row is reported by itself
            event = _EVENT.decode(body)
            yield policy_revision(event.type, event.message)
