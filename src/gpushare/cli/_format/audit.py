# SPDX-License-Identifier: Apache-2.0
"""Audit records as text for people."""

from gpushare.config.printable import printable
from gpushare.model.audit import AuditReport, Record

from .fitting import described
from .output import Column, Table
from .times import moment


def record_table() -> Table[Record]:
    return Table(
        lambda record: str(record.seq),
        Column("SEQ", lambda record: str(record.seq)),
        Column("TIME", lambda record: moment(record.at)),
        Column("USER", lambda record: printable(record.actor.user), least=6),
        Column("TOKEN", lambda record: record.actor.token or "-", wide=True),
        Column("ACTION", lambda record: printable(record.action), least=10),
        Column("OBJECT", lambda record: printable(record.object) or "-", least=8),
        Column("RESULT", lambda record: record.result),
        Column("HASH", lambda record: record.hash[:16], wide=True),
        Column("DETAIL", detail, least=12, drop=1),
    )


def one_line(record: Record) -> str:
    """For `--follow`, where the width of columns is not known in advance."""
    texts = (record.actor.user, record.action, record.object, record.result)
    cells = (str(record.seq), moment(record.at), *map(printable, texts), detail(record))
    return "  ".join(filter(None, cells))


def detail(record: Record) -> str:
    """The details in one line, without the signature."""
    fields = {key: text for key, text in record.detail.items() if key != "signature"}
    return " ".join(f"{printable(key)}={_quoted(printable(text))}" for key, text in fields.items())


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def format_report(report: AuditReport) -> str:
    signed = f"signed up to {report.signed}" if report.signed else "not signed"
    verdict = "intact" if report.ok else "BROKEN"
    rows = [
        ("records", f"{report.first} to {report.last}, {signed}"),
        ("chain", verdict),
        ("head", report.hash or "-"),
    ]
    rows += [("key", report.key)] if report.key else []
    rows += [("file", path) for path in report.files]
    if flaw := report.flaw:
        rows.append(("wrong", f"{flaw.kind} at {flaw.file}:{flaw.line}: {flaw.because}"))
    return described([*rows, *(("note", note) for note in report.notes)])
