# SPDX-License-Identifier: Apache-2.0
"""What a restored state takes over from the state that it replaces.

Numbers must not repeat: followers of events, the audit log and the history of the policy know the
later ones. Tokens that were revoked since the backup must stay revoked. Where the replaced state
cannot be read, the audit log tells which were.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from gpushare.model.errors import StateError
from gpushare.model.state.backup import Manifest
from gpushare.store.audit.files import Files
from gpushare.store.audit.witness import audited
from gpushare.store.database import Database
from gpushare.store.events import last_number, raise_number
from gpushare.store.integrity.commit_mark import known_numbers
from gpushare.store.policy import Policies
from gpushare.store.shares import Shares
from gpushare.store.tokens import StoredTokens

_REVOKED = "token.revoked"


class Earlier:
    """The replaced state, read from a copy; `database` None: it is missing or unreadable."""

    def __init__(self, database: Database | None, why: str, events: int) -> None:
        self.database, self.why, self.events = database, why, events

    @classmethod
    @contextmanager
    def read(cls, folder: Path, scratch: Path, marks: Sequence[Path]) -> Iterator["Earlier"]:
        """`marks`: of the replaced state. Raises OSError."""
        copy = scratch / "earlier"
        copy.mkdir()
        for name in ("state.db", "state.db-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(folder / name, copy / name)
        events = max(known_numbers(path) for path in marks)
        if not (copy / "state.db").exists():
            yield cls(None, "there is none", events)
            return
        try:
            database = Database(copy / "state.db")
        except StateError as error:
            yield cls(None, f"it cannot be read: {error.because}", events)
            return
        with closing(database):
            yield cls(database, "", max(events, last_number(database)))


def carried_over(
    database: Database, earlier: Earlier, manifest: Manifest, audit: Path, now: datetime
) -> tuple[str, ...]:
    """Change the restored state; one sentence for each difference."""
    with database.transaction():
        known = audited(audit)
        raise_number(database, max(earlier.events, known.event if known else 0))
        if earlier.database is None:
            return (
                f"the state that is replaced: {earlier.why}",
                *_by_audit(database, manifest, audit),
            )
        _audit_marks(database, earlier.database)
        return (
            *_policy(database, earlier.database, now),
            *_tokens(database, earlier.database),
            *_shares(database, earlier.database),
        )


def _audit_marks(database: Database, earlier: Database) -> None:
    known = dict(database.rows("SELECT path, seq FROM audit"))
    for path, seq, hash_ in earlier.rows("SELECT path, seq, hash FROM audit"):
        if seq > known.get(path, 0):
            sql = "INSERT OR REPLACE INTO audit VALUES (?, ?, ?, NULL)"
            database.execute(sql, path, seq, hash_)
            database.stamp("audit", "path = ?", path)


def _policy(database: Database, earlier: Database, now: datetime) -> Iterator[str]:
    """The history goes on: the restored policy becomes the newest revision of it."""
    restored = Policies(database).newest()
    newest = Policies(earlier).newest()
    if newest.revision <= restored.revision:
        return
    sql = "SELECT revision, body FROM policies WHERE revision > ?"
    for revision, body in earlier.rows(sql, restored.revision):
        database.execute("INSERT INTO policies VALUES (?, ?)", revision, body)
    put = Policies(database).put(restored.policy, "restore", now)
    yield (
        f"policy: revision {restored.revision} of the backup becomes revision {put.revision}; "
        f"revisions {restored.revision + 1} to {newest.revision} are in its history"
    )


def _tokens(database: Database, earlier: Database) -> Iterator[str]:
    backup = {token.id for token in StoredTokens(database).all()}
    now = {token.id for token in StoredTokens(earlier).all()}
    for token in sorted(backup - now):
        database.execute("DELETE FROM tokens WHERE id = ?", token)
        yield f"token {token} was revoked or has expired since; it is not restored"
    for token in sorted(now - backup):
        yield f"token {token} was made since; it is gone after the restore"


def _by_audit(database: Database, manifest: Manifest, audit: Path) -> Iterator[str]:
    first = manifest.audit.seq if manifest.audit else 0
    backup = {token.id for token in StoredTokens(database).all()}
    with suppress(OSError):
        for record in Files(audit).backwards():
            if record.seq <= first:
                return
            if record.action != _REVOKED:
                continue
            ids = record.detail.get("message", "").partition(" by ")[0].split(", ")
            for token in backup.intersection(ids):
                database.execute("DELETE FROM tokens WHERE id = ?", token)
                yield f"token {token} was revoked since, says the audit log; it is not restored"


def _shares(database: Database, earlier: Database) -> Iterator[str]:
    backup = {share.id: share for share in Shares(database).living()}
    now = {share.id: share for share in Shares(earlier).living()}
    for share in now.keys() - backup.keys():
        yield f"share {now[share].name} ({share}) was created since; it is gone after the restore"
    for share in backup.keys() & now.keys():
        if backup[share].spec != now[share].spec or backup[share].state is not now[share].state:
            yield (
                f"share {now[share].name} ({share}) is {now[share].state} and has changed since: "
                f"it is {backup[share].state} again, with the limits of the backup"
            )
