# SPDX-License-Identifier: Apache-2.0
"""Finds at start what the state file has lost: newest changes, or rows that cannot be read."""

from collections.abc import Sequence

from gpushare.model.errors import StateCorruptError, StateLostError

from .commit_mark import CommitMark
from .database import Database
from .examination import Damage, examine, put_aside

_SHOWN = 3
_ACCEPT = "or start without what is lost: gpushare daemon --accept-loss"


def find_losses(database: Database, mark: CommitMark, *, accept: bool) -> tuple[str, ...]:
    """One sentence for each loss. What is damaged is put aside.

    Raises StateLostError for changes that this boot has seen, StateCorruptError for rows that the
    daemon cannot do without; not where the loss is accepted.
    """
    older = _older(database, mark)
    if older and not accept and _same_boot(mark):
        raise StateLostError(
            f"{database.path} is older than it was",
            older,
            f"put state.db and state.db-wal back as they were, {_ACCEPT}",
        )
    damages = examine(database)
    essential = [damage for damage in damages if damage.essential]
    if essential and not accept:
        raise _unreadable(database, essential)
    put_aside(database, damages)
    mark.put(_last(database))
    return (*filter(None, [older]), *map(str, damages))


def _older(database: Database, mark: CommitMark) -> str:
    known, found = mark.read(), _last(database)
    if known is None or known.event <= found:
        return ""
    return (
        f"the last change was event {known.event}, the file ends with event {found}: its "
        "write-ahead log is gone, or an older copy was put back"
    )


def _same_boot(mark: CommitMark) -> bool:
    known = mark.read()
    return known is not None and known.boot == mark.boot


def _last(database: Database) -> int:
    # Of all that ever were: events are forgotten, their numbers are not used again.
    sql = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    return int(database.rows(sql)[0][0])


def _unreadable(database: Database, damages: Sequence[Damage]) -> StateCorruptError:
    more = f" and {len(damages) - _SHOWN} more" if len(damages) > _SHOWN else ""
    return StateCorruptError(
        f"{database.path} is damaged",
        "; ".join(map(str, damages[:_SHOWN])) + more,
        f"put a backup back, {_ACCEPT}",
    )
