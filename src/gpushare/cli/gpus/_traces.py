# SPDX-License-Identifier: Apache-2.0
"""`gpushare simulate --record` and `--replay`: traces, and policies tried on them."""

import sys
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.model.audit import AuditQuery
from gpushare.model.errors import NotFoundError, OutputError, TraceError

if TYPE_CHECKING:
    from gpushare.model.policy.tenant import Policy
    from gpushare.virtual.replay import Replay
    from gpushare.virtual.trace import Trace

_STDIN = "-"


def record(path: str, since: datetime | None, *, hide: bool) -> None:
    """Write what the daemon has recorded to a file."""
    from gpushare.virtual.record import Recorder, machine_of  # noqa: PLC0415 (start-up time)
    from gpushare.virtual.trace import anonymous, written  # noqa: PLC0415

    daemon, now = client(), datetime.now(UTC)
    recorder = Recorder()
    first = now
    for each in daemon.audit.every(AuditQuery(until=now)):
        first = min(first, each.at)
        recorder.take(each)
    machine = machine_of(daemon.gpus())
    trace = recorder.trace(since or first, now, machine, daemon.rules.policy().policy)
    text = "".join(written(anonymous(trace) if hide else trace))
    if path == _STDIN:
        click.echo(text, nl=False)
        return
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise OutputError(f"cannot write {path}", error.strerror or str(error)) from error
    click.echo(f"gpushare: {len(trace.shares)} shares in {path}", err=True)


def replay(path: str, policy: str | None, gpus: int | None, output: Output) -> None:
    """Run a trace again and print both sides."""
    from gpushare.virtual.replay import replayed, resized  # noqa: PLC0415 (start-up time)

    trace = _read(path)
    machine = trace.head.machine if gpus is None else resized(trace.head.machine, gpus)
    found = replayed(trace, _policy(policy, trace), machine)
    output.item(found, "", lambda: _table(found))


def _read(path: str) -> "Trace":
    from gpushare.virtual.trace import read  # noqa: PLC0415 (start-up time)

    try:
        text = sys.stdin.read() if path == _STDIN else Path(path).read_text()
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except OSError as error:
        raise TraceError(f"cannot read {path}", error.strerror or str(error)) from error
    except UnicodeDecodeError:
        raise TraceError(f"cannot use {path}", "it is no text") from None
    return read(text.splitlines())


def _policy(path: str | None, trace: "Trace") -> "Policy":
    if path is None:
        return trace.policy
    from gpushare.config.policy_file import read, syntax_of  # noqa: PLC0415 (start-up time)

    file = Path(path)
    try:
        return read(file.read_text(), syntax_of(file), path)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"cannot read {path}", str(error)) from error


def _table(found: "Replay") -> str:
    sides = (found.recorded, found.replayed)
    rows = [("", "RECORDED", "REPLAYED")]
    for name, path, form in _ROWS:
        one, two = (form.format(attrgetter(path)(side)) for side in sides)
        rows.append((name, one, two))
    lines = [f"{name:<{_WIDTH}}  {one:>9}  {two:>9}" for name, one, two in rows]
    lines.append(f"{found.same_place} of {found.both} shares that both placed have the same place")
    lines += [f"not replayed: {note}" for note in found.notes]
    return "\n".join(lines)


_ROWS = (
    ("shares", "shares", "{}"),
    ("placed", "placed", "{}"),
    ("waiting at the end", "waiting", "{}"),
    ("refused", "never", "{}"),
    ("withdrawn", "withdrawn", "{}"),
    ("mean wait", "wait.mean", "{:.0f} s"),
    ("median wait", "wait.median", "{:.0f} s"),
    ("95th percentile", "wait.p95", "{:.0f} s"),
    ("compute guaranteed", "compute_granted", "{:.1%}"),
    ("memory guaranteed", "memory_granted", "{:.1%}"),
    ("Jain index", "jain", "{:.3f}"),
    ("least satisfied tenant", "worst", "{:.0%}"),
    ("suspended", "suspended", "{}"),
    ("ended for others", "evicted", "{}"),
)
_WIDTH = max(len(name) for name, _, _ in _ROWS)
