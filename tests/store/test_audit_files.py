# SPDX-License-Identifier: Apache-2.0
"""The files of the log: crashes, turning over, and others who move them."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from gpushare.model.audit import Wrong
from gpushare.store.audit import (
    Files,
    Marks,
    Rotation,
    file_lines,
    public_key,
    remembered,
    verify,
)
from gpushare.store.database import Database
from support.audit import LIN, AuditFolder


@pytest.mark.parametrize("heads", [2, 100])
def test_a_crash_at_any_byte_loses_nothing_that_was_settled(tmp_path: Path, heads: int):
    first = AuditFolder(tmp_path / "first", Rotation(heads=heads))
    log = first.log()
    log.append(LIN, "settled")
    log.settle()
    safe, mark = first.path.stat().st_size, log.end
    log.append(LIN, "not settled", detail={"with": "some words"})
    log.append(LIN, "nor this")
    whole = first.path.read_bytes()
    log.close()

    for size in range(safe, len(whole) + 1):
        first.path.write_bytes(whole[:size])
        Marks(Database(first.folder / "state.db")).put(first.path, mark)
        again = first.log()
        torn = bool(size) and whole[size - 1 : size] != b"\n"
        assert [r.action for r in again.found] == (["audit.recovered"] if torn else [])
        again.append(LIN, "goes on")
        again.settle()
        again.close()
        report = verify(file_lines([first.path]), end=remembered(first.folder, first.path))
        assert report.ok, (size, report.flaw)


def test_a_recovery_that_is_cut_off_itself_is_recovered(audit_folder: AuditFolder):
    audit_folder.fill(2)
    good = audit_folder.path.read_bytes()
    audit_folder.path.write_bytes(good + b'{"action":"half')
    audit_folder.log().close()
    whole = audit_folder.path.read_bytes()

    for size in range(len(good), len(whole)):
        audit_folder.path.write_bytes(whole[:size])
        audit_folder.log().close()
        assert verify(file_lines([audit_folder.path])).ok, size


def test_lines_that_were_cut_off_cannot_be_taken_out_or_changed(audit_folder: AuditFolder):
    audit_folder.fill(2)
    with audit_folder.path.open("ab") as file:
        file.write(b"half a li")
    audit_folder.fill(1)
    lines = audit_folder.lines()
    [at] = [n for n, raw in enumerate(lines) if raw.startswith(b"half")]

    audit_folder.put([*lines[:at], *lines[at + 1 :]])
    assert audit_folder.verify().flaw.kind is Wrong.DELETED
    audit_folder.put([*lines[:at], b"whole lie (cut off)\n", *lines[at + 1 :]])
    assert audit_folder.verify().flaw.kind is Wrong.EDITED


def test_files_are_turned_over_by_size_and_the_chain_goes_on(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, Rotation(size=3000, heads=100))
    audit_folder.fill(30)
    older = Files(audit_folder.path).older()

    assert [path.name for path in older[:2]] == ["audit-000001.jsonl", "audit-000002.jsonl"]
    assert audit_folder.verify().ok
    for path in older:
        alone = verify(file_lines([path]), whole=False, keys=[public_key(tmp_path)])
        assert alone.ok
        assert alone.signed == alone.last
    first = json.loads(audit_folder.lines()[0])
    last = json.loads(older[-1].read_bytes().splitlines()[-1])
    assert first["action"] == "audit.continued"
    assert first["detail"]["last"] == last["hash"]


def test_files_are_turned_over_by_age(audit_folder: AuditFolder):
    audit_folder.fill(2)
    audit_folder.now += timedelta(days=31)
    audit_folder.fill(1)

    assert len(Files(audit_folder.path).older()) == 1
    assert audit_folder.verify().ok


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_whole_file_that_is_taken_away_is_missed(tmp_path: Path, which: int):
    audit_folder = AuditFolder(tmp_path, Rotation(size=2000, heads=100))
    audit_folder.fill(30)
    Files(audit_folder.path).older()[which].unlink()

    assert audit_folder.verify().flaw.kind is Wrong.DELETED


def test_files_that_change_names_are_reordered_by_what_they_hold(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, Rotation(size=2000, heads=100))
    audit_folder.fill(20)
    one, other, *_ = Files(audit_folder.path).older()
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)

    assert audit_folder.verify().ok


def test_a_crash_between_two_files_is_bridged(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path)
    audit_folder.fill(3)
    audit_folder.path.rename(Files(audit_folder.path).next_name())
    audit_folder.fill(3)

    assert audit_folder.verify().ok
    audit_folder.path.rename(Files(audit_folder.path).next_name())
    audit_folder.path.touch()
    audit_folder.fill(3)
    assert audit_folder.verify().ok


@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl-20261123"])
def test_a_file_that_is_renamed_under_the_daemon_is_noticed(audit_folder: AuditFolder, name: str):
    log = audit_folder.log()
    log.append(LIN, "before")
    audit_folder.path.rename(audit_folder.path.with_name(name))
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert audit_folder.verify().ok
    first = json.loads(audit_folder.lines()[0])
    assert first["action"] == "audit.continued"
    assert "renamed" in first["detail"]["why"]


def test_a_file_that_is_copied_and_emptied_goes_on(audit_folder: AuditFolder):
    """As logrotate's copytruncate does."""
    log = audit_folder.log()
    log.append(LIN, "before")
    audit_folder.path.with_name("audit.jsonl.1").write_bytes(audit_folder.path.read_bytes())
    os.truncate(audit_folder.path, 0)
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert audit_folder.verify().ok


def test_lines_of_others_are_no_part_of_it(audit_folder: AuditFolder):
    log = audit_folder.log()
    log.append(LIN, "before")
    with audit_folder.path.open("ab") as file:
        file.write(b"a line of another program\n")
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert log.found[0].action == "audit.missing"
    assert audit_folder.verify().flaw.kind is Wrong.EDITED


def test_packed_files_are_not_read_but_named(audit_folder: AuditFolder):
    audit_folder.fill(1)
    audit_folder.path.with_name("audit-000001.jsonl.gz").write_bytes(b"\x1f\x8b")

    assert Files(audit_folder.path).older() == []
    assert [path.name for path in Files(audit_folder.path).packed()] == ["audit-000001.jsonl.gz"]
    assert Files(audit_folder.path).next_name().name == "audit-000002.jsonl"


def test_a_file_that_cannot_be_turned_over_goes_on(tmp_path: Path, monkeypatch):
    """As after chattr +a."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    audit_folder = AuditFolder(tmp_path, Rotation(size=2000, heads=100))
    monkeypatch.setattr(Path, "rename", refuse)
    log = audit_folder.log()
    for _ in range(20):
        log.append(LIN, "x")
    assert [record.action for record in log.found] == ["audit.stuck"]
    audit_folder.now += timedelta(days=2)
    monkeypatch.undo()
    log.append(LIN, "y")
    log.settle()
    log.close()

    assert len(Files(audit_folder.path).older()) == 1
    assert audit_folder.verify().ok


BOUNDED = Rotation(size=2000, heads=100, keep=5000)


def test_the_oldest_files_are_deleted_and_the_log_says_so(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, BOUNDED)
    audit_folder.fill(60)
    older = Files(audit_folder.path).older()
    assert sum(path.stat().st_size for path in older) <= 5000
    assert older[0].name != "audit-000001.jsonl"
    report = audit_folder.verify()
    assert report.ok
    assert report.first > 1


def test_deleted_by_another_hand_is_no_excuse(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, BOUNDED)
    audit_folder.fill(60)
    Files(audit_folder.path).older()[0].unlink()
    flaw = audit_folder.verify().flaw
    assert flaw.kind is Wrong.DELETED
    assert "missing before it" in flaw.because


def test_files_of_other_programs_are_not_deleted(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, BOUNDED)
    audit_folder.fill(20)
    Files(audit_folder.path).older()[0].rename(audit_folder.path.with_name("audit.jsonl.1"))
    audit_folder.fill(60)
    assert audit_folder.path.with_name("audit.jsonl.1").exists()


def test_a_log_without_a_suffix_is_rotated_too(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, Rotation(size=2000, heads=100))
    audit_folder.path = audit_folder.path.with_name("audit")
    audit_folder.fill(20)
    assert Files(audit_folder.path).older()[0].name == "audit-000001"
    assert audit_folder.verify().ok
