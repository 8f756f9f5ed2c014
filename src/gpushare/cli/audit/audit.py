# SPDX-License-Identifier: Apache-2.0
"""`gpushare audit`: what was done, by whom, and whether the log of it holds."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import replace

from gpushare.cli._format.audit import one_line, record_table, report_words
from gpushare.cli._format.output import Format, Output
from gpushare.cli._options import output_option
from gpushare.model.audit import MOST_RECORDS, AuditQuery, AuditReport, Record
from gpushare.model.errors import AuditBrokenError, NotFoundError, UsageError

from ._source import AuditSource, moment, source, verified_part

_LOOK_SECONDS = 1.0
_since = click.option(
    "--since", metavar="TIME", help="From this time on: 2h (ago), 7d, 2026-12-01T08:00."
)
_until = click.option("--until", metavar="TIME", help="Up to this time.")


@click.group()
def audit() -> None:
    """Show, verify and export the audit log: every change, and every refusal.

    \b
    gpushare audit ls --since 2h
    gpushare audit verify
    gpushare audit export --since 2026-12-01 -o csv > december.csv
    """


@audit.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@_since
@_until
@click.option("--actor", default="", metavar="USER", help="Only of this user, uid or token.")
@click.option("--action", default="", metavar="TEXT", help="Only actions with this in them.")
@click.option("--object", "about", default="", metavar="TEXT", help="Only about such objects.")
@click.option(
    "-n",
    "--last",
    default=100,
    metavar="N",
    type=click.IntRange(1, MOST_RECORDS),
    help="The newest so many.",
)
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
) -> None:
    """List records: operators see all, others their own and those about their shares.

    \b
    gpushare audit ls --actor lin --since 7d
    gpushare audit ls --action share.granted --object 3f2a -o json
    gpushare audit ls -f -o jsonl
    """
    now = datetime.now(UTC).astimezone()
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
    if output.format in {Format.JSON, Format.YAML}:
        raise UsageError("what has no end is no document", hint="gpushare audit ls -f -o jsonl")
    for record in _followed(log, query):
        _show(record, output)


@audit.command()
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="A copy of a log, or an exported part, instead of this machine's own log.",
)
@click.option(
    "--key", "keys", metavar="PUBLIC", multiple=True, help="With --file: who must have signed it."
)
@click.option("--partial", is_flag=True, help="Older files were moved away: begin where it begins.")
@output_option
def verify(path: Path | None, keys: tuple[str, ...], output: Output, *, partial: bool) -> None:
    """Walk along the chain and name the first record that is wrong; then the exit code is 3.

    It finds what was edited, deleted, reordered, put in or cut off, and heads of another key. It
    needs no daemon; then it reads the files, and the daemon's books for where they must end.

    \b
    gpushare audit verify
    gpushare audit verify --file december.csv --key ed25519:…
    """
    if keys and path is None:
        raise UsageError("the key of this machine is known", hint="--key is for --file")
    report = (
        source().verify(partial=partial)
        if path is None
        else verified_part(path, _checked(keys), partial=partial)
    )
    output.item(report, report.hash, lambda: report_words(report))
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
    help="How to write it.",
)
def export(since: str | None, until: str | None, style: str) -> None:
    """Write records that follow each other, up to a signed head, so that they prove themselves.

    \b
    gpushare audit export > all.jsonl
    gpushare audit export --since 30d -o csv > month.csv
    gpushare audit verify --file month.csv --key "$(gpushare audit key)"
    """
    from gpushare.store.audit import Style, styled  # noqa: PLC0415 (start-up time)

    now = datetime.now(UTC).astimezone()
    found = _part(source(), moment(since, now), moment(until, now))
    if not found:
        raise NotFoundError("no records of that time", hint="gpushare audit ls")
    sys.stdout.buffer.write(styled(found, Style(style)))
    signed = max((r.seq for r in found if "signature" in r.detail), default=None)
    said = f"signed up to {signed}" if signed else "not signed"
    click.echo(f"gpushare: records {found[0].seq} to {found[-1].seq}, {said}", err=True)


@audit.command()
def key() -> None:
    """Print the public key that heads are signed with, to keep it where nobody edits it."""
    heads = source().heads()
    if not heads or not heads[-1].detail.get("key"):
        why = heads[-1].detail.get("unsigned", "") if heads else "there is no head yet"
        raise NotFoundError("the heads of this log are not signed", why)
    click.echo(heads[-1].detail["key"])


def _part(log: AuditSource, since: datetime | None, until: datetime | None) -> list[Record]:
    """Times need not be in order, records must be: from the first to a head after the last."""
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


def _followed(log: AuditSource, query: AuditQuery) -> Iterator[Record]:
    while True:
        for record in log.records(query):
            yield record
            query = replace(query, after=record.seq, last=MOST_RECORDS)
        sys.stdout.flush()
        time.sleep(_LOOK_SECONDS)


def _show(record: Record, output: Output) -> None:
    if output.human:
        click.echo(one_line(record))
    else:
        output.items([record], record_table())


def _checked(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Raises UsageError for what is no key, and where no signature can be checked."""
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
        f"the audit log does not hold at record {flaw.seq}: {flaw.kind}",
        f"{flaw.file}:{flaw.line}: {flaw.because}",
        "compare it with the system's journal, and with what was exported before",
    )
