# SPDX-License-Identifier: Apache-2.0
"""What a state file has lost, found when it is opened.

The end of the file is compared with three witnesses: the mark next to it, the mark in the runtime
directory, and the audit log, whose records have the numbers of the events that they are about.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gpushare.model.errors import StateCorruptError, StateLostError
from gpushare.store.audit.witness import Audited
from gpushare.store.database import Database
from gpushare.store.events import last_number, raise_number

from .commit_mark import CommitMark
from .examination import BadRow, examine, put_aside
from .lost_policy import lost_policy, raise_revision

_SHOWN = 3
_ACCEPT = "or start without what is lost: gpushare daemon --accept-loss"
_MARK_DAMAGED = (
    "state.mark was damaged: whether the newest changes of the state are missing is known from "
    "the audit log alone"
)


class _Older(NamedTuple):
    """`strict`: a power cut is no explanation."""

    number: int
    why: str
    strict: bool


def find_losses(
    database: Database, mark: CommitMark, audited: Audited | None, *, accept: bool, restored: bool
) -> tuple[str, ...]:
    """One sentence for each loss. What is damaged is put aside.

    `restored`: a backup was put back, so its policy is the one in force.

    Raises StateLostError for changes that cannot be explained by a power cut, StateCorruptError for
    rows that the daemon cannot do without; not where the loss is accepted.
    """
    older = _older(database, mark, audited)
    if older and older.strict and not accept:
        raise StateLostError(
            f"{database.path} is older than it was",
            older.why,
            f"put state.db and state.db-wal back as they were, {_ACCEPT}",
        )
    bad_rows = examine(database)
    essential = [damage for damage in bad_rows if damage.essential]
    if essential and not accept:
        raise _unreadable(database.path, essential)
    gone = lost_policy(database, audited.policy if audited else 0)
    if gone and not (accept or restored):
        raise _without_policy(database.path, gone.why)
    put_aside(database, bad_rows)
    if gone:
        raise_revision(database, gone.revision)
    if older:
        # Numbers that were used are not used again: followers and the audit log know them.
        raise_number(database, older.number)
    mark.put(last_number(database))
    losses = (
        older.why if older else "",
        gone.why if gone and not older and not restored else "",
        _MARK_DAMAGED if mark.damaged else "",
    )
    return (*filter(None, losses), *map(str, bad_rows))


def _older(database: Database, mark: CommitMark, audited: Audited | None) -> _Older | None:
    """By the witness that knows most."""
    found, known = last_number(database), mark.before
    witnesses = []
    if known and known.number > found:
        strict = known.boot == mark.boot or known.synced > found
        witnesses.append(
            _Older(known.number, _lost("the last change", known.number, found), strict)
        )
    if audited and audited.event > found:
        strict = audited.boot == mark.boot or audited.synced > found
        why = _lost("the audit log's last change", audited.event, found)
        witnesses.append(_Older(audited.event, why, strict))
    return max(witnesses, key=lambda older: (older.strict, older.number), default=None)


def _lost(what: str, known: int, found: int) -> str:
    return (
        f"{what} was event {known}, the file ends with event {found}: its "
        "write-ahead log is gone, or an older copy was put back"
    )


def _without_policy(path: Path, why: str) -> StateLostError:
    return StateLostError(
        f"{path} has lost the policy in force",
        why,
        f"put a backup back: gpushare restore FILE, {_ACCEPT}",
    )


def _unreadable(path: Path, bad_rows: Sequence[BadRow]) -> StateCorruptError:
    more = f" and {len(bad_rows) - _SHOWN} more" if len(bad_rows) > _SHOWN else ""
    return StateCorruptError(
        f"{path} is damaged",
        "; ".join(map(str, bad_rows[:_SHOWN])) + more,
        f"put a backup back: gpushare restore FILE, {_ACCEPT}",
    )
