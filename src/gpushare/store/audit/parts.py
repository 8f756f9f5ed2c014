# SPDX-License-Identifier: Apache-2.0
"""Parts of the log as files of their own, in three styles; each can be verified alone."""

import csv
import io
from collections.abc import Iterator, Sequence
from enum import StrEnum, unique
from pathlib import Path

import msgspec

from gpushare.model.audit import Actor, Record, RecordList
from gpushare.model.errors import BadSpecError

from .chain import line
from .files import Files
from .verify import Line, Place, file_lines

_COLUMNS = (
    "seq", "at", "user", "uid", "token", "action", "object", "result", "detail", "prev", "hash",
)  # fmt: skip


@unique
class Style(StrEnum):
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


def styled(records: Sequence[Record], style: Style) -> bytes:
    """JSON lines are the log's own lines; the others hold the same values."""
    if style is Style.JSONL:
        return b"".join(map(line, records))
    if style is Style.JSON:
        body = msgspec.json.encode(RecordList(items=tuple(records)))
        return msgspec.json.format(body, indent=2) + b"\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(_COLUMNS)
    writer.writerows(map(_row, records))
    return text.getvalue().encode()


def part(path: Path) -> tuple[Iterator[Line], bool]:
    """The lines of an exported file, or of a whole log by the file that grows.

    The second value is True for an exported file, which may begin anywhere. Raises OSError,
    BadSpecError.
    """
    path.stat()
    if path.suffix in {".csv", ".json"}:
        return _lines(path), True
    files = Files(path)
    return file_lines(files.all()), not files.older()


def lines_of(records: Sequence[Record], name: str) -> Iterator[Line]:
    """Records as lines of a log that is called `name`."""
    for number, record in enumerate(records, 1):
        yield Place(name, number), line(record)


def _lines(path: Path) -> Iterator[Line]:
    """Records in their canonical form, whatever the style of the file."""
    try:
        records = _rows(path) if path.suffix == ".csv" else _items(path)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BadSpecError(f"{path} is no exported audit log", str(error)) from error
    return lines_of(records, str(path))


def _items(path: Path) -> Sequence[Record]:
    return msgspec.json.decode(path.read_bytes(), type=RecordList).items


def _rows(path: Path) -> list[Record]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != _COLUMNS:
            raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
        return [_record(row) for row in rows]


def _row(record: Record) -> list[str]:
    actor, detail = record.actor, msgspec.json.encode(record.detail, order="sorted").decode()
    at = msgspec.to_builtins(record.at)
    uid = "" if actor.uid is None else str(actor.uid)
    return [
        str(record.seq), at, actor.user, uid, actor.token or "", record.action, record.object,
        record.result, detail, record.prev, record.hash,
    ]  # fmt: skip


def _record(row: dict[str, str]) -> Record:
    actor = Actor(
        user=row["user"], uid=int(row["uid"]) if row["uid"] else None, token=row["token"] or None
    )
    fields = {name: row[name] for name in ("at", "action", "object", "result", "prev", "hash")}
    return msgspec.convert(
        {**fields, "seq": int(row["seq"]), "actor": actor, "detail": _detail(row["detail"])},
        Record,
    )


def _detail(text: str) -> dict[str, str]:
    return msgspec.json.decode(text, type=dict[str, str])
