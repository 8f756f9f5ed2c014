# SPDX-License-Identifier: Apache-2.0
"""Forwards audit records to the system's log, out of reach of an attacker who edits our files."""

import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from gpushare.config.settings import AuditCopy
from gpushare.model.audit import OK, Record

SYSLOG, JOURNALD = Path("/dev/log"), Path("/run/systemd/journal/socket")
_NAME = "gpushare-audit"
# RFC 5424, section 6.2.1: facility 10 (authpriv), severities informational and notice.
_AUTHPRIV, _INFO, _NOTICE = 10 << 3, 6, 5
Send = Callable[[Record], None]


def forwarder(kind: AuditCopy, report: Callable[[str], None], root: Path = Path("/")) -> Send:
    """Where records are forwarded; `report` is called once for each time that it fails."""
    match kind:
        case AuditCopy.SYSLOG:
            return Forwarder(root / SYSLOG.relative_to("/"), syslog, report)
        case AuditCopy.JOURNALD:
            return Forwarder(root / JOURNALD.relative_to("/"), journald, report)
    return lambda _: None


class Forwarder:
    """Datagrams on a unix socket; never waits for the reader."""

    def __init__(
        self, path: Path, written: Callable[[Record], bytes], report: Callable[[str], None]
    ) -> None:
        self._path, self._written, self._report = path, written, report
        self._reported = False

    def __call__(self, record: Record) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                # The log daemon may be stopped; a full socket buffer must not stop every change on
                # the machine.
                sender.setblocking(False)
                sender.connect(str(self._path))
                sender.send(self._written(record))
        except OSError as error:
            if not self._reported:
                self._reported = True
                self._report(f"{self._path}: {error.strerror or error}")
        else:
            self._reported = False


def syslog(record: Record) -> bytes:
    """As syslog(3) writes it to /dev/log (RFC 3164 without a time, which the reader adds)."""
    return b"<%d>%s: %s" % (_AUTHPRIV | _severity(record), _NAME.encode(), _text(record))


def journald(record: Record) -> bytes:
    """The journal's native protocol (systemd: JOURNAL_NATIVE_PROTOCOL)."""
    fields = {
        "MESSAGE": _text(record),
        "PRIORITY": str(_severity(record)).encode(),
        "SYSLOG_IDENTIFIER": _NAME.encode(),
        "SYSLOG_FACILITY": str(_AUTHPRIV >> 3).encode(),
        "GPUSHARE_AUDIT_SEQ": str(record.seq).encode(),
        "GPUSHARE_AUDIT_HASH": record.hash.encode(),
        "GPUSHARE_AUDIT_ACTION": record.action.encode(),
        "GPUSHARE_AUDIT_OBJECT": record.object.encode(),
        "GPUSHARE_AUDIT_RESULT": record.result.encode(),
        "GPUSHARE_AUDIT_USER": record.actor.user.encode(),
    }
    return b"".join(_field(name.encode(), value) for name, value in fields.items())


def _field(name: bytes, value: bytes) -> bytes:
    """A value of several lines is preceded by its length."""
    if b"\n" not in value:
        return name + b"=" + value + b"\n"
    return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def _text(record: Record) -> bytes:
    return msgspec.json.encode(record, order="sorted")


def _severity(record: Record) -> int:
    return _INFO if record.result == OK else _NOTICE
