# SPDX-License-Identifier: Apache-2.0
"""Checksums of rows, for tables in which values stand outside a body and are not repeated in it.

The column `sum` is written by `stamp` after each change of a row, in the same transaction, and
compared at start (`examination.py`). NULL is a row that an earlier version wrote; it is stamped at
start. A row whose sum became NULL by damage has lost nothing but its sum, which is the last column.
"""

import sqlite3
import struct
from typing import Any
from zlib import crc32

FUNCTION = "row_sum"

# Table: its columns but `sum`; those of text in capitals, so that damaged text can be read.
_COLUMNS = {
    "shares": "seq ID NAME STATE body uid ended",
    "tokens": "ID digest uid PARENT expires body",
    "intents": "id SHARE ACT arguments",
    "verifications": "BOOT DRIVER MECHANISMS body",
    "runs": "PROGRAM at body",
    "usage": "hour TENANT seconds",
    "charged": "one UNTIL",
    "contexts": "GPU DRIVER bytes",
    "profiles": "PROGRAM BESIDE seconds work at",  # prose: allow
    "decisions": "SHARE AT body",
    "audit": "PATH seq HASH",
    "outputs": "seq SHARE uid text",
    "cordons": "ID body",
    "damaged": "number ORIGIN KEY WHY body",
}
SUMMED = tuple(_COLUMNS)


def row_sum(*values: float | str | bytes | None) -> int:
    """The CRC-32 of the values, each with its type and length."""
    total = 0
    for value in values:
        kind, raw = _raw(value)
        total = crc32(raw, crc32(b"%b%d:" % (kind, len(raw)), total))
    return total


def register(connection: sqlite3.Connection) -> None:
    """Make `row_sum` known to the connection's SQL."""
    connection.create_function(FUNCTION, -1, row_sum, deterministic=True)


def computed(table: str) -> str:
    """SQL of the sum that a row should have."""
    columns = (_readable(column) for column in _COLUMNS[table].split())
    return f"{FUNCTION}({', '.join(columns)})"


def stamp(table: str, where: str) -> str:
    """SQL that writes the sums of some rows."""
    return f"UPDATE {table} SET sum = {computed(table)} WHERE {where}"  # noqa: S608 (names of ours)


def columns(table: str) -> tuple[str, ...]:
    """Names of the table's columns but `sum`."""
    return tuple(_COLUMNS[table].lower().split())


def _readable(column: str) -> str:
    return f"CAST({column.lower()} AS BLOB)" if column.isupper() else column


def _raw(value: Any) -> tuple[bytes, bytes]:
    match value:
        case None:
            return b"n", b""
        case bytes():
            return b"b", value
        case int():
            return b"i", str(value).encode()
        case float():
            return b"r", struct.pack(">d", value)
        case _:
            return b"t", str(value).encode("utf-8", "surrogateescape")
