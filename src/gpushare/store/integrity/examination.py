# SPDX-License-Identifier: Apache-2.0
"""Looks at every row at start, so that damage is reported once and plainly.

A row that cannot be read is put aside in the table `damaged`; what it was is not lost. Rows that
the daemon can do without (events, statistics, shares that have ended, tokens: a token that is gone
opens nothing) are put aside at once. The others are *essential*: a living share, an act that a
crash cut short, the policy in force. Without them limits would be gone and memory granted twice, so
the daemon does not start before someone has agreed to that.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from gpushare.model.access.token import Token
from gpushare.model.errors import StateCorruptError
from gpushare.model.event import Event
from gpushare.model.policy.view import PolicyView
from gpushare.model.profile import Runs
from gpushare.model.share import Share, Verification
from gpushare.model.value import Value
from gpushare.store.bodies import Body
from gpushare.store.cordons import StoredCordon
from gpushare.store.database import Database
from gpushare.store.intents import Intent

from . import sums


class BadRow(NamedTuple):
    """One row that is not what was stored."""

    table: str
    key: str
    why: str
    essential: bool

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.why}"


class _Table(NamedTuple):
    """`kind`: of the value in `body`; None: the values are in columns alone, `body` shows them.

    `columns`: those that repeat a field of the body, by the field's name. `essential`: SQL that
    says of which rows.
    """

    name: str
    key: str
    body: str
    kind: type[Value] | None
    columns: tuple[tuple[str, Callable[[Any], Any]], ...] = ()
    essential: str = "FALSE"


def _by_sum(name: str, *key: str) -> _Table:
    """A table whose values are covered by the sum of each row alone."""
    shown = " || ' ' || ".join(f"quote({column})" for column in sums.columns(name))
    return _Table(name, ", ".join(key), f"CAST({shown} AS BLOB)", None)


_TABLES = (
    _Table(
        "shares",
        "id",
        "body",
        Share,
        columns=tuple((name, lambda field: field) for name in ("id", "uid", "name", "state")),
        # Not `= 'queued'` and so on: a damaged state is not known to have ended.
        essential="state NOT IN ('released', 'failed')",
    ),
    _Table("intents", "id", "arguments", Intent, essential="TRUE"),
    _Table(
        "policies",
        "revision",
        "body",
        PolicyView,
        columns=(("revision", lambda field: field),),
        essential="revision = (SELECT max(revision) FROM policies)",
    ),
    _Table(
        "tokens",
        "id",
        "body",
        Token,
        columns=(
            ("id", lambda field: field),
            ("uid", lambda field: field),
            ("parent", lambda field: field),
            ("expires", lambda field: int(field.timestamp())),
        ),
    ),
    _Table("events", "seq", "body", Event, columns=(("seq", lambda field: field),)),
    _Table("runs", "program", "body", Runs, columns=(("program", lambda field: field),)),
    _Table("verifications", "boot, driver, mechanisms", "body", Verification),
    _by_sum("usage", "hour", "tenant"),
    _by_sum("charged", "one"),
    _by_sum("contexts", "gpu", "driver"),
    _by_sum("profiles", "program", "beside"),  # prose: allow
    _by_sum("decisions", "share"),
    _by_sum("audit", "path"),
    _by_sum("outputs", "share"),
    _by_sum("damaged", "number"),
    # Without one shares would land on a GPU that an operator has withheld.
    _Table("cordons", "id", "body", StoredCordon, essential="TRUE"),
)


def examine(database: Database) -> list[BadRow]:
    """Every damaged row."""
    return [damage for table in _TABLES for damage in _bad_rows(database, table)]


def put_aside(database: Database, bad_rows: Sequence[BadRow]) -> None:
    """Move the rows into the table `damaged`."""
    tables = {table.name: table for table in _TABLES}
    with database.transaction():
        for damage in bad_rows:
            table = tables[damage.table]
            at = f"FROM {table.name} WHERE {_key(table)} = ?"
            database.execute(
                f"INSERT INTO damaged (origin, key, why, body) SELECT ?, ?, ?, {table.body} {at}",
                *(damage.table, damage.key, damage.why, damage.key),
            )
            database.execute(f"DELETE {at}", damage.key)
        database.stamp("damaged", "sum IS NULL")


def _key(table: _Table) -> str:
    # As text even where its bytes are none.
    return " || ' ' || ".join(f"quote({column})" for column in table.key.split(", "))


@cache
def _body(kind: type[Value]) -> Body[Any]:
    return Body(kind)


def _bad_rows(database: Database, table: _Table) -> Iterator[BadRow]:
    columns = "".join(f", CAST({name} AS BLOB)" for name, _ in table.columns)
    summed = f"sum IS {sums.computed(table.name)}" if table.name in sums.SUMMED else "TRUE"
    sql = f"SELECT {_key(table)}, {table.essential}, {summed}, {table.body}{columns}"
    for key, essential, whole, stored, *repeated in database.rows(f"{sql} FROM {table.name}"):
        why = _fault(table, stored, repeated) or ("" if whole else "its checksum is wrong")
        if why:
            yield BadRow(table.name, key, why, bool(essential))


def _fault(table: _Table, stored: bytes, repeated: Sequence[bytes | None]) -> str:
    if table.kind is None:
        return ""
    try:
        value = _body(table.kind).decode(stored)
    except StateCorruptError as error:
        return error.because
    for (name, column), found in zip(table.columns, repeated, strict=True):
        field = column(getattr(value, name))
        expected = None if field is None else str(field).encode()
        if found != expected:
            return f"its {name} differs from what the row contains"
    return ""
