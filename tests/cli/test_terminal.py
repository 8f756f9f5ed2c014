# SPDX-License-Identifier: Apache-2.0
"""Texts of other users cannot change the terminal on which they are shown."""

import json
from datetime import UTC, datetime

import pytest
import structlog
from msgspec.structs import replace

from gpushare.cli._errors import report
from gpushare.cli._format.fitting import aligned
from gpushare.cli._format.output import Format, Output
from gpushare.cli._format.shares import share_details, share_table
from gpushare.cli._format.texts import colour
from gpushare.client import Client
from gpushare.config.printable import LONGEST, printable
from gpushare.daemon.base import logs
from gpushare.model.errors import BadSpecError, GpushareError
from gpushare.model.ids import Tenant
from gpushare.model.spec import Gang, MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes
from gpushare.model.view import CreateRequest, QueueView
from support.daemon import Daemon

EVIL = "\x1b[31m\x1b]0;PWNED\x07\r\n\x08\x9b2J\u202ex\udcff"
SHOWN = EVIL.encode("unicode_escape", "surrogatepass").decode()


def test_what_is_not_printable_is_shown_as_its_escape():
    assert printable(EVIL) == SHOWN
    assert printable("训练 é ok") == "训练 é ok"
    assert printable("a\nb", lines=True) == "a\nb"
    assert len(printable("x" * 60_000)) == LONGEST


@pytest.fixture
def evil(shared_daemon: Daemon):
    """A share as another daemon, or an older one, could describe it."""
    spec = ShareSpec(memory=MemoryAsk(limit=Bytes(GIB)))
    share = Client(shared_daemon.socket).create(CreateRequest(spec=spec, program="x"))
    shared_daemon.gpushare("rm", share.id)
    queue = QueueView(position=1, waits_for=EVIL)
    return replace(
        share, name=EVIL, ref=EVIL, user=EVIL, tenant=Tenant(EVIL), reason=EVIL, queue=queue,
        why=(EVIL,), unprotected=(EVIL,), log=EVIL, fault=EVIL,
    )  # fmt: skip


@pytest.mark.parametrize("style", [Format.TABLE, Format.WIDE, Format.NAME])
def test_no_listing_prints_control_characters(evil, style, capsys):
    Output(style).items([evil], share_table((), datetime.now(UTC)))
    Output(style).item(evil, evil.name, lambda: share_details(evil, {}))
    assert [c for c in capsys.readouterr().out if not c.isprintable() and c != "\n"] == []


def test_json_is_exact(evil, capsys):
    named = replace(evil, name=EVIL[:-1])
    Output(Format.JSON).item(replace(named, **dict.fromkeys(
        ("ref", "user", "tenant", "reason", "log", "fault"), "x"
    ), queue=None, why=(), unprotected=()), "", str)  # fmt: skip
    assert json.loads(capsys.readouterr().out)["name"] == EVIL[:-1]


def test_colours_of_ours_stay(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    cell = colour("ok", fg="green") + EVIL
    assert aligned([[cell]]) == f"\x1b[32mok\x1b[0m{SHOWN}"
    assert aligned([[EVIL + colour("ok", fg="green")]]).endswith("\x1b[32mok\x1b[0m")


def test_an_error_prints_no_control_characters(capsys):
    report(GpushareError(EVIL, EVIL, EVIL))
    assert [c for c in capsys.readouterr().err if not c.isprintable() and c != "\n"] == []


def test_the_log_of_the_daemon_contains_none(capsys):
    logs.configure("info", "text")
    structlog.get_logger().info("share.queued", message=EVIL)
    assert [c for c in capsys.readouterr().err if not c.isprintable() and c != "\n"] == []
    structlog.reset_defaults()


@pytest.mark.parametrize("text", [EVIL[:-1], "x" * 256, "a\nb"])
@pytest.mark.parametrize("field", ["labels", "keys", "near", "apart", "gang"])
def test_such_texts_are_refused_at_the_door(shared_daemon: Daemon, field: str, text: str):
    fields = {
        "labels": {"labels": {"a": text}},
        "keys": {"labels": {text: "a"}},
        "near": {"near": {"a": text}},
        "apart": {"apart": {text: "a"}},
        "gang": {"gang": Gang(name=text, size=2)},
    }
    spec = ShareSpec(memory=MemoryAsk(limit=Bytes(GIB)), **fields[field])
    with pytest.raises(BadSpecError, match="control characters"):
        Client(shared_daemon.socket).create(CreateRequest(spec=spec))
