# SPDX-License-Identifier: Apache-2.0
"""Who writes the log, with what key, and on a full disk."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.model.errors import DaemonRunningError, DeniedError, StateFullError, UsageError
from gpushare.store.audit import (
    file_lines,
    remembered,
    verify,
)
from gpushare.store.audit.signing import raw_key
from support.audit import LIN, AuditFolder


def test_two_writers_are_one_too_many(audit_folder: AuditFolder):
    log = audit_folder.log()
    with pytest.raises(DaemonRunningError):
        audit_folder.log()
    log.close()
    audit_folder.log().close()


def test_another_process_cannot_write_it_either(audit_folder: AuditFolder):
    log = audit_folder.log()
    script = (
        "from pathlib import Path; import sys; from gpushare.store.audit.appender import Appender;"
        "Appender(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(audit_folder.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    log.close()

    assert "DaemonRunningError" in done.stderr


def test_only_its_owner_writes_it_and_only_the_daemon_signs(audit_folder: AuditFolder):
    audit_folder.path.parent.mkdir()
    audit_folder.path.touch(0o666)
    audit_folder.fill(1)

    assert stat.S_IMODE(audit_folder.path.stat().st_mode) == 0o640
    assert stat.S_IMODE((audit_folder.folder / "audit.key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_signs_nothing(audit_folder: AuditFolder):
    audit_folder.fill(1)
    (audit_folder.folder / "audit.key").chmod(0o644)

    with pytest.raises(DeniedError, match="others can read"):
        audit_folder.log()


def test_a_link_in_its_place_is_not_followed(audit_folder: AuditFolder, tmp_path: Path):
    audit_folder.path.parent.mkdir()
    audit_folder.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DeniedError):
        audit_folder.log()


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_full_disk_stops_nothing_for_long(audit_folder: AuditFolder, monkeypatch, kept: int):
    """A write that is cut short leaves its beginning in the file."""
    log = audit_folder.log()
    log.append(LIN, "before")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:kept]))
    for _ in range(3):
        with pytest.raises(StateFullError):
            log.append(LIN, "lost")
    monkeypatch.undo()

    log.append(LIN, "after")
    log.settle()
    log.close()

    assert audit_folder.verify().ok
    assert b"lost" not in b"".join(
        raw for raw in audit_folder.lines() if not raw.endswith(b"(cut off)\n")
    )


def test_without_the_package_heads_are_unsigned_and_say_why(audit_folder: AuditFolder, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    audit_folder.fill(6)
    head = next(r for r in map(json.loads, audit_folder.lines()) if r["action"] == "audit.head")
    report = verify(file_lines([audit_folder.path]))

    assert "gpushare-suite" in head["detail"]["unsigned"]
    assert "signature" not in head["detail"]
    assert report.ok
    assert any("gpushare-suite" in note for note in report.notes)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "AAAA", "rsa:" + "A" * 43])
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(UsageError):
        raw_key(text)


def test_an_unreadable_mark_is_not_known(tmp_path: Path):
    assert remembered(tmp_path, tmp_path / "audit.jsonl") is None


def test_a_new_place_begins_a_new_chain_that_names_the_old_one(audit_folder: AuditFolder):
    audit_folder.fill(3)
    old, audit_folder.path = audit_folder.path, audit_folder.path.with_name("other.jsonl")
    audit_folder.fill(6)

    assert audit_folder.verify().ok
    assert json.loads(audit_folder.lines()[0])["detail"]["before"].startswith(f"{old}: ")
