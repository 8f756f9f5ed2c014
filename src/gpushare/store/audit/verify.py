# SPDX-License-Identifier: Apache-2.0
"""Verifies a chain and reports the first flaw in it."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from gpushare.model.audit import START, AuditReport, Flaw, Mark, Record, Wrong

from .chain import COVERS, REMOVED, digest, is_head, read, signed_text, span, torn
from .signing import MISSING, available, genuine


@dataclass(frozen=True)
class Place:
    """`line` counts from 1."""

    file: str
    line: int


Line = tuple[Place, bytes]
Lines = Iterable[Line]


class _FlawedError(Exception):
    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.because)
        self.flaw = flaw


def file_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """Every line of the files, with its place."""
    for path in paths:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                yield Place(str(path), number), raw


def verify(
    lines: Lines,
    *,
    keys: Collection[str] = (),
    whole: bool = True,
    end: Mark | None = None,
    growing: bool = False,
    notes: tuple[str, ...] = (),
) -> AuditReport:
    """Verify the records in `lines`.

    `keys`: keys that may sign; none: the key that signed first. `whole`: it must begin with the
    first record of all, or with the one after those that a record says were deleted. `end`: a
    record that it must reach; `growing`: what follows it is still being written, and is not
    checked.
    """
    walk = _Walk(keys, end, whole=whole)
    flaw = None
    rest = iter(lines)
    try:
        for place, raw in rest:
            walk.see(place, raw)
            # The daemon goes on writing behind this record; a line that it has not finished is no
            # damage.
            if growing and walk.reached:
                break
        walk.finish()
    except _FlawedError as error:
        flaw = _later(error.flaw, walk, rest)
    return walk.report(flaw, notes)


class _Walk:
    def __init__(self, keys: Collection[str], end: Mark | None, *, whole: bool) -> None:
        self._keys, self._given, self._whole = set(keys), bool(keys), whole
        self._end = end
        self._unexplained: _FlawedError | None = None  # records before the first are missing
        self._checks = available()
        self._junk: list[Line] = []
        self._at = Place("", 0)
        self._files: list[str] = []
        self.first: Record | None = None
        self.last: Record | None = None
        self._signed, self._records, self._key = 0, 0, ""

    @property
    def expected(self) -> int:
        """The number of the next record; 0: any will do."""
        return self.last.seq + 1 if self.last else int(self._whole)

    @property
    def reached(self) -> bool:
        """Whether it has reached the record that it must reach."""
        return bool(self._end and self.last and self.last.seq >= self._end.seq)

    def see(self, place: Place, raw: bytes) -> None:
        self._at = place
        if place.file not in self._files:
            self._files.append(place.file)
        record = read(raw)
        if record is None:
            self._junk.append((place, raw))
            return
        self._check_junk(record)
        if digest(record) != record.hash:
            raise self._flaw(Wrong.EDITED, record.seq, "its hash does not match its content")
        self._check_link(record)
        if self.first is None:
            self._begin(record)
        if record.action == REMOVED:
            self._explain(record)
        if is_head(record):
            self._check_head(record)
        self.first, self.last = self.first or record, record
        self._records += 1

    def finish(self) -> None:
        """Flaws that show only at the end."""
        if self._junk:
            place, raw = self._junk[0]
            whole = raw.endswith(b"\n")
            because = "is not a record of this log" if whole else "is cut off"
            self._at = place
            raise self._flaw(Wrong.EDITED if whole else Wrong.TRUNCATED, self.expected, because)
        reached = self.last.seq if self.last else 0
        if not reached and not self._end:
            raise self._flaw(Wrong.TRUNCATED, 1, "there are no records")
        if self._end and not self.reached:
            missing = f"{span(reached + 1, self._end.seq)} no longer there"
            raise self._flaw(Wrong.TRUNCATED, reached + 1, missing)
        if self._unexplained:
            raise self._unexplained
        if self._given and self._checks and not self._signed:
            raise self._flaw(Wrong.FOREIGN, reached, "no head is signed by the given key")

    def report(self, flaw: Flaw | None, notes: tuple[str, ...]) -> AuditReport:
        return AuditReport(
            ok=flaw is None,
            records=self._records,
            first=self.first.seq if self.first else 0,
            last=self.last.seq if self.last else 0,
            hash=self.last.hash if self.last else "",
            signed=self._signed,
            key=self._key,
            files=tuple(self._files),
            flaw=flaw,
            notes=(*notes, *self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        if self.first and self.first.seq > 1:
            yield f"it begins with record {self.first.seq}; earlier records are not here"
        if not self._checks:
            yield f"signatures were not checked: {MISSING}"
        elif not self._signed:
            yield "no head is signed: a user who can write the files could have forged all of it"
        elif not self._given:
            yield "the key comes from the log itself; compare it: gpushare audit key"

    def _check_junk(self, record: Record) -> None:
        """The record after lines that are no records must account for them."""
        junk = b"".join(raw for _, raw in self._junk)
        accounted = record.detail.get("torn", "") if record.action in COVERS else ""
        if torn(junk) == accounted:
            self._junk = []
        elif self._junk:
            self._at = self._junk[0][0]
            raise self._flaw(Wrong.EDITED, self.expected, "the line is not a record of this log")
        else:
            raise self._flaw(
                Wrong.DELETED, record.seq, "the lines that it accounts for are missing"
            )

    def _begin(self, record: Record) -> None:
        if self._whole and record.seq > 1:
            missing = f"{span(1, record.seq - 1)} missing before it"
            self._unexplained = self._flaw(Wrong.DELETED, record.seq, missing)

    def _explain(self, record: Record) -> None:
        """The deletion of a file is recorded after its last record, which the first one names."""
        gone = self.first is not None and (str(self.first.seq - 1), self.first.prev)
        if gone == (record.detail.get("until"), record.detail.get("last")):
            self._unexplained = None

    def _check_link(self, record: Record) -> None:
        expected = self.expected
        if self.last and record.seq > expected:
            missing = f"{span(expected, record.seq - 1)} missing before it"
            raise self._flaw(Wrong.DELETED, record.seq, missing)
        if record.seq < expected and self._unexplained:
            raise _FlawedError(_moved(self._unexplained.flaw, record, self._at))
        if record.seq < expected:
            raise self._flaw(
                Wrong.REORDERED, record.seq, f"it is in the place of record {expected}"
            )
        if record.prev != self._before(record):
            because = f"it does not continue the record before it: {record.seq - 1} was edited"
            raise self._flaw(Wrong.EDITED, record.seq, because)
        if self._end and record.seq == self._end.seq and record.hash != self._end.hash:
            raise self._flaw(
                Wrong.EDITED, record.seq, "it differs from the one that the daemon recorded"
            )

    def _before(self, record: Record) -> str:
        if self.last:
            return self.last.hash
        return START if record.seq == 1 else record.prev

    def _check_head(self, record: Record) -> None:
        key, signature = record.detail.get("key", ""), record.detail.get("signature", "")
        # A head without a signature is valid: the machine may lack the package (`signing.MISSING`).
        if not signature or not self._checks:
            return
        if not genuine(key, signed_text(record), signature):
            raise self._flaw(Wrong.FOREIGN, record.seq, "the signature does not match its key")
        if self._keys and key not in self._keys:
            raise self._flaw(Wrong.FOREIGN, record.seq, f"it is signed by {key}")
        self._keys.add(key)
        self._signed, self._key = record.seq, key

    def _flaw(self, kind: Wrong, seq: int, because: str) -> _FlawedError:
        place = self._at
        flaw = Flaw(kind=kind, seq=seq, file=place.file, line=place.line, because=because)
        return _FlawedError(flaw)


def _later(flaw: Flaw, walk: _Walk, rest: Iterator[Line]) -> Flaw:
    """A record that is missing here but follows later was moved, not deleted."""
    if flaw.kind is not Wrong.DELETED or not walk.expected:
        return flaw
    for place, raw in rest:
        record = read(raw)
        if record and record.seq == walk.expected:
            return _moved(flaw, record, place)
    return flaw


def _moved(flaw: Flaw, record: Record, place: Place) -> Flaw:
    because = f"record {record.seq}, which belongs before it, is at {place.file}:{place.line}"
    return replace(flaw, kind=Wrong.REORDERED, because=because)
