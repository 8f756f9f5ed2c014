# SPDX-License-Identifier: Apache-2.0
"""How records form a chain: each contains the hash of the one before it."""

from hashlib import sha256

import msgspec
from msgspec.structs import replace

from gpushare.model.audit import HEAD, Record

OPENED = "audit.opened"  # the first record of all
CONTINUED = "audit.continued"  # the first record of a file
RECOVERED = "audit.recovered"  # after lines that were cut off; `torn` is their SHA-256
MISSING = "audit.missing"  # the log does not end where it ended last
DAMAGED = "audit.damaged"  # a record near the end of the log was changed
REKEYED = "audit.rekeyed"  # another key signs than the one of the newest head
STUCK = "audit.stuck"  # a file could not be rotated
REMOVED = "audit.removed"  # a file was deleted to bound the log; `until`, `last`: its last record
COVERS = frozenset({RECOVERED, CONTINUED})  # account for lines before them that are no records
_CONTEXT = b"gpushare audit head v1\n"  # so that the key signs nothing else by accident
_LONGEST = 1000  # characters of one text
_decode = msgspec.json.Decoder(Record).decode


def line(record: Record) -> bytes:
    """Canonical JSON: keys in order, no blanks, UTF-8; and a newline."""
    return msgspec.json.encode(record, order="sorted") + b"\n"


def digest(record: Record) -> str:
    """The SHA-256 of the record's canonical form without its own hash, in hex."""
    return sha256(line(replace(record, hash="")).rstrip(b"\n")).hexdigest()


def sealed(record: Record) -> Record:
    """The record with its hash."""
    return replace(record, hash=digest(record))


def read(raw: bytes) -> Record | None:
    """The record, if its canonical form equals the line to the last byte; else None."""
    try:
        record = _decode(raw)
        same = line(record) == raw
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    return record if same else None


def signed_text(head: Record) -> bytes:
    """The text that a head's signature covers: all of the head except signature and hash."""
    detail = {**head.detail, "signature": ""}
    return _CONTEXT + line(replace(head, hash="", detail=detail))


def is_head(record: Record) -> bool:
    """Whether the record is one that may be signed."""
    return record.action == HEAD


def torn(junk: bytes) -> str:
    """The SHA-256 of bytes that are no records, in hex; empty for none."""
    return sha256(junk).hexdigest() if junk else ""


def span(first: int, last: int) -> str:
    """Records by their numbers, and the verb."""
    return f"record {first} is" if first == last else f"records {first} to {last} are"


def plain(text: str) -> str:
    """The text as valid UTF-8, of limited length."""
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"
