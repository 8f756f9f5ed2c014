# SPDX-License-Identifier: Apache-2.0
"""`gpushare audit`: show, verify and export the audit log."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from gpushare.cli._format.audit import format_report, one_line, record_table
from gpushare.cli._format.fitting import bounded
from gpushare.cli._format.output import Format, Output
from gpushare.cli._options import output_option
from gpushare.cli._reconnect import reconnect_option, reconnecting
from gpushare.cli._strict import Number
from gpushare.model.audit import MOST_RECORDS, AuditQuery, AuditReport, Record
from gpushare.model.errors import AuditBrokenError, NotFoundError, UsageError
from gpushare.session.local_time import local_now
from gpushare.session.times import moment

from ._source import AuditSource, source, verified_part

if TYPE_CHECKING:
    from gpushare.client.reconnect import Reconnect

_LOOK_SECONDS = 1.0
_since = click.option(
    "--since",
    metavar="TIME",
    help="Start at this time: 2h (ago), 7d, 2026-12-01T08:00 (local), 2026-12-01T08:00Z (UTC).",
)
_until = click.option("--until", metavar="TIME", help="End at this time, written as for --since.")


@click.group()
def audit() -> None:
    """Show, verify and export the audit log of changes and refused requests.

    \b
    gpushare audit ls --since 2h
    gpushare audit verify
    gpushare audit export --since 2026-12-01 -o csv > december.csv
    """


@audit.command()
@click.option("-f", "--follow", is_flag=True, help="Follow new records until Ctrl-C.")
@_since
@_until
@click.option("--actor", default="", metavar="USER", help="Filter by user, uid or token.")
@click.option("--action", default="", metavar="TEXT", help="Filter by part of the action.")
@click.option("--object", "about", default="", metavar="TEXT", help="Filter by part of the object.")
@click.option(
    "-n",
    "--last",
    default=100,
    metavar="N",
    type=Number(1, MOST_RECORDS),
    help="Show the last N records.",
)
@reconnect_option
@output_option
def ls(
    *,
    since: str | None,
    until: str | None,
    actor: str,
    action: str,
    about: str,
    last: int,
    output: Output,
    follow: bool,
    reconnect: float,
) -> None:
    """List audit records. Non-operators see only their own and those about their shares.

    \b
    gpushare audit ls --actor lin --since 7d
    gpushare audit ls --action share.granted --object 3f2a -o json
    gpushare audit ls -f -o jsonl
    """
    now = local_now()
    query = AuditQuery(
        since=moment(since, now),
        until=moment(until, now),
        actor=actor,
        action=action,
        object=about,
        last=last,
    )
    log = source()
    if not follow:
        output.items(log.records(query), record_table())
        return
    # A document needs an end.
    if output.format in {Format.JSON, Format.YAML}:
        raise UsageError(
            "a stream cannot be one JSON or YAML document", hint="gpushare audit ls -f -o jsonl"
        )
    for record in _followed(log, query, reconnecting(reconnect)):
        _show(record, output)


@audit.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="Verify this copy or exported part instead of this machine's log.",
)
@click.option(
    "--key",
    "keys",
    metavar="PUBLIC",
    multiple=True,
    help="With --file: public key that must have signed it.",
)
@click.option(
    "--partial", is_flag=True, help="Allow missing older files: start at the first record."
)
@output_option
def verify(path: Path | None, keys: tuple[str, ...], output: Output, *, partial: bool) -> None:
    """Verify the hash chain. If it is broken, print the first wrong record and exit with 3.

    This finds edited, deleted, reordered, inserted and cut-off records, and heads signed with
    another key. Without a daemon, the command reads the files, and their end from the daemon's
    state.

    \b
    gpushare audit verify
    gpushare audit verify --file december.csv --key ed25519:…
    """
    if keys and path is None:
        raise UsageError("--key needs --file", "the daemon knows the key of this machine")
    report = (
        source().verify(partial=partial)
        if path is None
        else verified_part(path, _checked(keys), partial=partial)
    )
    output.item(report, report.hash, lambda: format_report(report))
    if report.flaw:
        raise _broken(report)


@audit.command()
@_since
@_until
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(["jsonl", "json", "csv"]),
    default="jsonl",
    help="Format of the records.",
)
def export(since: str | None, until: str | None, style: str) -> None:
    """Print consecutive records up to a signed head, so that they can be verified alone.

    \b
    gpushare audit export > all.jsonl
    gpushare audit export --since 30d -o csv > month.csv
    gpushare audit verify --file month.csv --key "$(gpushare audit key)"
    """
    from gpushare.store.audit import Style, styled  # noqa: PLC0415 (start-up time)

    now = local_now()
    records = _part(source(), moment(since, now), moment(until, now))
    if not records:
        raise NotFoundError("no records in this time", hint="gpushare audit ls")
    sys.stdout.buffer.write(styled(records, Style(style)))
    signed = max((record.seq for record in records if "signature" in record.detail), default=None)
    state = f"signed up to {signed}" if signed else "not signed"
    click.echo(f"gpushare: records {records[0].seq} to {records[-1].seq}, {state}", err=True)


@audit.command()
def key() -> None:
    """Print the public key that signs heads. Keep a copy on another machine."""
    heads = source().heads()
    if not heads or not heads[-1].detail.get("key"):
        why = heads[-1].detail.get("unsigned", "") if heads else "the log has no head yet"
        raise NotFoundError("the heads of this log are not signed", why)
    click.echo(heads[-1].detail["key"])


def _part(log: AuditSource, since: datetime | None, until: datetime | None) -> list[Record]:
    """The records from the first in this time to the head after the last.

    Records are in order of their numbers; their times need not be, because a clock can be set back.
    """
    # First, so that all that is exported is followed by a signature.
    head = log.sign()
    query = AuditQuery(last=0, upto=head.seq if head else None)
    if since:
        first = next(iter(log.records(replace(query, since=since))), None)
        if first is None:
            return []
        query = replace(query, after=first.seq - 1)
    records = list(log.every(query))
    if until is None:
        return records
    last = max((record.seq for record in records if record.at <= until), default=0)
    heads = (
        record.seq for record in records if record.seq >= last and "signature" in record.detail
    )
    end = next(heads, last)
    return [record for record in records if last and record.seq <= end]


def _followed(log: AuditSource, query: AuditQuery, again: "Reconnect") -> Iterator[Record]:
    """The newest records, then every later one; goes on when the daemon has been away."""
    records = log.records(query)
    while True:
        yield from records
        # From the oldest on: there may be more later ones than one answer holds.
        query = replace(query, after=records[-1].seq if records else query.after, last=0)
        sys.stdout.flush()
        time.sleep(_LOOK_SECONDS)
        records = again.tried(partial(log.records, query), otherwise=())


def _show(record: Record, output: Output) -> None:
    if output.human:
        line = one_line(record)
        click.echo(line if output.format is Format.WIDE else bounded(line))
    else:
        output.items([record], record_table())


def _checked(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The keys. Raises UsageError if one is malformed, or signatures cannot be checked here."""
    from gpushare.store.audit import signing  # noqa: PLC0415 (start-up time)

    for each in keys:
        signing.raw_key(each)
    if keys and not signing.available():
        raise UsageError("cannot check signatures", signing.MISSING)
    return keys


def _broken(report: AuditReport) -> AuditBrokenError:
    flaw = report.flaw
    assert flaw is not None
    return AuditBrokenError(
        f"the audit log is broken at record {flaw.seq}: {flaw.kind}",
        f"{flaw.file}:{flaw.line}: {flaw.because}",
        "compare it with the system's journal and with earlier exports",
    )
