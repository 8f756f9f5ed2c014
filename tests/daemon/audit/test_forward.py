# SPDX-License-Identifier: Apache-2.0
"""Copies of records for the system's log."""

import socket
import struct

import pytest

from gpushare.config.settings import AuditCopy
from gpushare.daemon.audit.forward import forwarder
from support.world.audited_daemon import audited_session, deed


@pytest.fixture
def kept(world, state):
    with audited_session(world, state) as found:
        yield found


@pytest.fixture
def listening(short_path):
    """A folder with a socket where the journal's, or syslog's, is."""
    opened = []

    def listen(name: str) -> socket.socket:
        path = short_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        opened.append(receiver)
        receiver.settimeout(10)
        receiver.bind(str(path))
        return receiver

    listen.root = short_path
    yield listen
    for receiver in opened:
        receiver.close()


def test_the_journal_gets_every_record_with_its_fields(world, state, listening):
    journal = listening("run/systemd/journal/socket")
    copy = forwarder(AuditCopy.JOURNALD, pytest.fail, listening.root)
    with audited_session(world, state, copy=copy) as kept:
        kept.writer.tell(deed(ref="two\nlines", result="GS1301"))
        number = len(kept.records())
        got = [journal.recv(65536) for _ in range(number)]
        line = kept.path.read_bytes().splitlines()[-1]
        record = kept.records()[-1]

    last = got[number - 1]
    assert b"MESSAGE=" + line + b"\n" in last
    assert b"PRIORITY=5\n" in last
    assert b"GPUSHARE_AUDIT_HASH=%s\n" % record.hash.encode() in last
    assert b"GPUSHARE_AUDIT_OBJECT\n" + struct.pack("<Q", 9) + b"two\nlines\n" in last


def test_syslog_gets_one_line_each(world, state, listening):
    log = listening("dev/log")
    with audited_session(
        world, state, copy=forwarder(AuditCopy.SYSLOG, pytest.fail, listening.root)
    ) as kept:
        first = kept.path.read_bytes().splitlines()[0]

        assert log.recv(65536) == b"<86>gpushare-audit: " + first


@pytest.mark.parametrize("kind", [AuditCopy.SYSLOG, AuditCopy.JOURNALD])
def test_a_missing_socket_is_reported_once(world, state, short_path, kind):
    told = []
    with audited_session(world, state, copy=forwarder(kind, told.append, short_path)) as kept:
        kept.writer.tell(deed())

    assert len(told) == 1
    assert str(short_path) in told[0]


def test_a_reader_that_does_not_read_stops_nothing(world, state, listening):
    listening("dev/log")
    told = []
    with audited_session(
        world, state, copy=forwarder(AuditCopy.SYSLOG, told.append, listening.root)
    ) as kept:
        for _ in range(3000):
            kept.writer.tell(deed())

    assert len(told) == 1


def test_no_copies_go_nowhere(kept):
    assert forwarder(AuditCopy.NONE, pytest.fail)(kept.records()[0]) is None
