# SPDX-License-Identifier: Apache-2.0
"""What the end of the audit log knows of the state, and whether it is whole.

Records of events have the event's number, and the record of a daemon's start has the boot. Only the
newest records are read, so that a start takes the same time however large the log is.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import dropwhile, islice
from pathlib import Path
from typing import NamedTuple

from gpushare.model.audit import Record

from .chain import COVERS, digest, is_head, read, torn
from .files import Files, lines_backwards

EVENT, BOOT = "event", "boot"  # keys of a record's detail
STARTED = "daemon.started"
# Changes after which the state is checkpointed: a power cut cannot take them back.
_SYNCED = frozenset({"policy.changed", "token.created", "token.revoked"})
_MOST = 2000  # records
_REVISION = re.compile(r"revision ([0-9]{1,9}) by ")


class Audited(NamedTuple):
    """`event`: the newest in the log; `synced`: the newest that a power cut cannot take back.

    `boot`: of the daemon that wrote it; empty if it is not known. `policy`: the newest revision of
    the policy; 0 if it is not known.
    """

    event: int
    synced: int
    boot: str
    policy: int = 0


def audited(log: Path) -> Audited | None:
    """None: the log has no record of an event with a number among its newest."""
    event = synced = policy = 0
    boot = ""
    with suppress(OSError):
        for record in islice(Files(log).backwards(), _MOST):
            number = event_of(record)
            event = max(event, number)
            if record.action in _SYNCED:
                synced = max(synced, number)
            policy = max(policy, policy_revision(record.action, record.detail.get("message", "")))
            if record.action == STARTED:
                # Records before it may be of an earlier boot, and have lower numbers.
                boot = record.detail.get(BOOT, "")
                break
    return Audited(event, synced, boot, policy) if event else None


def event_of(record: Record) -> int:
    """The number of the event that the record is about; 0: of none."""
    number = record.detail.get(EVENT, "")
    return int(number) if number.isascii() and number.isdecimal() else 0


def policy_revision(action: str, message: str) -> int:
    """The revision of the policy that an event is about; 0: of none."""
    found = _REVISION.match(message) if action == "policy.changed" else None
    return int(found[1]) if found else 0


def newest_key(files: Files) -> str:
    """The key of the newest signed head among the newest records; empty if there is none."""
    with suppress(OSError):
        for record in islice(files.backwards(), _MOST):
            if is_head(record) and record.detail.get("signature"):
                return record.detail.get("key", "")
    return ""


def flaw_at_end(log: Path) -> str:
    """Which of the newest records was changed; empty if none was.

    Records that are missing are not looked for: the marks of the log tell (`log.py`).
    """
    junk: list[bytes] = []
    last: Record | None = None
    for raw in _newest(log):
        record = read(raw)
        if record is None:
            junk.append(raw)
            continue
        accounted = record.detail.get("torn", "") if record.action in COVERS else ""
        if junk and torn(b"".join(junk)) != accounted:
            return f"a line before record {record.seq} was changed"
        if digest(record) != record.hash or _detached(last, record):
            return f"record {record.seq} was changed, or the one before it"
        last, junk = record, []
    return ""


def _detached(last: Record | None, record: Record) -> bool:
    return last is not None and record.seq == last.seq + 1 and record.prev != last.hash


def _newest(log: Path) -> Iterator[bytes]:
    """The newest lines of the file, oldest first; of a part, from a record that is whole alone."""
    try:
        lines = list(islice(lines_backwards(log), _MOST))
    except OSError:
        return iter(())
    if len(lines) < _MOST:
        return reversed(lines)
    return dropwhile(lambda raw: not _alone(read(raw)), reversed(lines))


def _alone(record: Record | None) -> bool:
    return record is not None and not record.detail.get("torn")
