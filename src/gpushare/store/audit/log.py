# SPDX-License-Identifier: Apache-2.0
"""Writes the audit log: a hash chain with one writer, signed heads, rotation, and recovery.

Each record contains the hash of the one before it. A *head* is a record whose signature covers the
chain up to it; heads are written after a number of records, at rotation, at start and at stop. A
file that is large or old enough is renamed, and the chain continues in a new file. The oldest files
are deleted where their size is bounded; a record names the last record that went with each.

The store keeps a *mark*: number and hash of the last record that is known to be on the disk. At
start the log compares its files with the mark, so a log that was cut at its end is noticed.

Invariants:
- Records are only appended. Damage (a torn line, a missing end, a file that was replaced) is
  reported by a new record, never repaired by rewriting; `found` holds those records.
- A record that `append` returned survives the death of the process. After a power cut, records
  since the last `settle` may be missing.
- After an error nothing is known of the end of the file. The next record is preceded by one that
  accounts for the bytes in between (`audit.recovered`).
- Numbers never repeat and never go back, also after records were lost.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from gpushare.model.audit import HEAD, OK, START, Actor, Mark, Record
from gpushare.model.errors import StateError
from gpushare.model.units import MIB, Bytes
from gpushare.model.value import Value

from .appender import Appender
from .chain import (
    CONTINUED,
    DAMAGED,
    MISSING,
    OPENED,
    RECOVERED,
    REKEYED,
    REMOVED,
    STUCK,
    line,
    plain,
    read,
    sealed,
    signed_text,
    span,
    torn,
)
from .files import Files, lines_backwards
from .marks import Marks
from .signing import Signer
from .witness import flaw_at_end, newest_key

DAEMON = Actor(user="daemon")
_PATIENCE = timedelta(days=1)  # before rotation is tried again after it failed


class Rotation(Value):
    """When a new file begins, and after how many records a head is written; days 0: not by age.

    `keep`: bytes of earlier files that are kept; 0: all.
    """

    size: Bytes = Bytes(64 * MIB)
    days: int = 30
    heads: int = 256
    keep: Bytes = Bytes(0)


_ROTATION = Rotation()


class Log:
    """Opened by one process at a time; `now` is the time of day, `copy` receives every record.

    Raises DaemonRunningError, DeniedError, StateError.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime],
        marks: Marks,
        signer: Signer,
        rotation: Rotation = _ROTATION,
        copy: Callable[[Record], None] = lambda _: None,
    ) -> None:
        self.files, self.signer = Files(path), signer
        self._copy = copy
        self._now, self._marks, self.rotation = now, marks, rotation
        self._torn, self._unsigned, self._settled = False, 0, 0
        self._stuck_until = datetime.min.replace(tzinfo=UTC)
        self.found: list[Record] = []  # records about damage that are not reported yet
        self._end, self._begun = Mark(seq=0, hash=START), now()
        self._file = Appender(path)
        try:
            self._resume()
        except BaseException:
            self._file.close()
            raise

    @property
    def end(self) -> Mark:
        """Number and hash of the newest record."""
        return self._end

    def append(
        self,
        actor: Actor,
        action: str,
        object: str = "",  # noqa: A002 (the record's word)
        *,
        result: str = OK,
        detail: Mapping[str, str] = {},
        at: datetime | None = None,
    ) -> Record:
        """`at`: when it happened, if that was earlier.

        Raises StateFullError, StateError: the record is not written; the chain continues later.
        """
        self._prepare()
        record = self._put(action, detail, actor=actor, about=object, result=result, at=at)
        if self._unsigned >= self.rotation.heads:
            with suppress(StateError):  # the record itself is written; the next one tries again
                self.head("records")
        return record

    def head(self, why: str) -> Record:
        """Sign everything until now, and sync it to the disk."""
        self._prepare(rotate=False)
        record = self._put(HEAD, {**self._key(), "why": why}, sign=True)
        self._unsigned = 0
        self.settle()
        return record

    def settle(self) -> None:
        """Sync the file, and record where it ends."""
        if self._end.seq != self._settled:
            # Only what is on the disk is remembered: after a power cut the file may be ahead of the
            # mark, never behind it.
            self._file.sync()
            self._marks.put(self.files.path, self._end)
            self._settled = self._end.seq

    def close(self) -> None:
        """Close the file; records that were appended stay."""
        self._file.close()

    def _resume(self) -> None:
        """Continue where the last daemon stopped, and report if the log does not end there."""
        path, mark = self.files.path, self._marks.get(self.files.path)
        flaw, replaced = flaw_at_end(path), self._replaced_key()
        junk = self._file.cut_off()
        if last := self.files.last():
            self._end = Mark(seq=last.seq, hash=last.hash)
        wrong = self._disagreement(mark)
        # The chain goes on from what is remembered, so that the gap stays visible (ADR 0024).
        if wrong and mark:
            self._end = Mark(seq=max(mark.seq, self._end.seq), hash=mark.hash)
        if self._file.size == len(junk):
            self._first("the log begins" if last is None else f"{path.name} was missing", junk)
        else:
            self._begun = _begun(path, self._now())
            if junk:
                self._report(RECOVERED, {"torn": torn(junk), "bytes": str(len(junk))})
        if wrong:
            self._report(MISSING, {"why": wrong})
        if flaw:
            self._report(DAMAGED, {"why": flaw})
        if replaced:
            self._report(REKEYED, {"why": f"heads were signed by {replaced}, whose key is gone"})

    def _replaced_key(self) -> str:
        """The key of the newest signed head, if another one signs now; else empty."""
        key = newest_key(self.files) if self.signer.key else ""
        return "" if key == self.signer.key else key

    def _disagreement(self, mark: Mark | None) -> str:
        """How the files differ from the mark; empty if they do not."""
        if mark is None:
            return ""
        if mark.seq > self._end.seq:
            return f"{span(self._end.seq + 1, mark.seq)} no longer there"
        for record in self.files.backwards():
            if record.seq <= mark.seq:
                return "" if record.hash == mark.hash else f"record {mark.seq} has changed"
        return f"record {mark.seq} is not there"

    def _prepare(self, *, rotate: bool = True) -> None:
        """Account for damage, and rotate if due, before a record is appended."""
        if self._torn:
            junk = self._file.cut_off()
            self._torn = False
            self._report(RECOVERED, {"torn": torn(junk), "bytes": str(len(junk))})
        # Log rotation by another program renames or truncates the file.
        if not self._file.intact():
            self._reopen("the file was renamed, removed or changed by another program")
        if rotate and (why := self._due()):
            self._rotate(why)

    def _due(self) -> str:
        if self._now() < self._stuck_until:
            return ""
        if self._file.size >= self.rotation.size:
            return "size"
        age = self._now() - self._begun
        return "age" if self.rotation.days and age >= timedelta(days=self.rotation.days) else ""

    def _rotate(self, why: str) -> None:
        self.head("rotation")
        try:
            self.files.path.rename(self.files.next_name())
        except OSError as error:
            self._stuck_until = self._now() + _PATIENCE
            self._report(STUCK, {"why": f"the file cannot be rotated: {error}"})
        else:
            self._reopen(why)
            self._prune()

    def _prune(self) -> None:
        """Delete the oldest files, each after a record that says where it ended."""
        for path in self.files.oldest(self.rotation.keep) if self.rotation.keep else ():
            last = next((r for raw in lines_backwards(path) if (r := read(raw))), None)
            if last is None:
                continue
            detail = {"file": path.name, "until": str(last.seq), "last": last.hash}
            self._report(REMOVED, detail | {"why": "older than what audit_keep keeps"})
            with suppress(OSError):  # the next rotation tries again
                path.unlink()

    def _reopen(self, why: str) -> None:
        """Continue in the file that has our path now; the old file stays as it is."""
        if not self._file.in_place():
            new = Appender(self.files.path)
            self._file.close()
            self._file = new
        junk = self._file.cut_off()
        if self._file.size == len(junk):
            self._first(why, junk)
        else:
            self._report(MISSING, {"why": why})

    def _first(self, why: str, junk: bytes) -> None:
        """The first record of a file."""
        self._begun = self._now()
        detail = {"why": why, "torn": torn(junk)}
        if self._end.seq == 0:
            before = [
                f"{path}: {m.seq} {m.hash}" for path, m in self._marks.others(self.files.path)
            ]
            self._put(OPENED, detail | {"before": "; ".join(before)})
        else:
            self._put(CONTINUED, detail | {"last": self._end.hash})

    def _report(self, action: str, detail: Mapping[str, str]) -> None:
        self.found.append(self._put(action, detail))

    def _key(self) -> dict[str, str]:
        return {"key": self.signer.key} if self.signer.key else {"unsigned": self.signer.why_not}

    def _put(
        self,
        action: str,
        detail: Mapping[str, str],
        *,
        actor: Actor = DAEMON,
        about: str = "",
        result: str = OK,
        at: datetime | None = None,
        sign: bool = False,
    ) -> Record:
        record = Record(
            seq=self._end.seq + 1,
            at=at or self._now(),
            actor=replace(actor, user=plain(actor.user)),
            action=plain(action),
            object=plain(about),
            result=result,
            detail={plain(key): plain(value) for key, value in detail.items() if value},
            prev=self._end.hash,
        )
        record = sealed(self._signed(record) if sign else record)
        self._write(record)
        return record

    def _signed(self, record: Record) -> Record:
        signature = self.signer.sign(signed_text(record))
        if not signature:
            return record
        return replace(record, detail={**record.detail, "signature": signature})

    def _write(self, record: Record) -> None:
        try:
            self._file.write(line(record))
        except StateError:
            # Whether part of the line was written is unknown; `_prepare` looks before the next
            # record.
            self._torn = True
            raise
        self._end = Mark(seq=record.seq, hash=record.hash)
        self._marks.appended(self._end)
        self._unsigned += 1
        self._copy(record)


def _begun(path: Path, now: datetime) -> datetime:
    """When the file began, by its first record."""
    with path.open("rb") as file:
        first = read(file.readline())
    return first.at if first else now
