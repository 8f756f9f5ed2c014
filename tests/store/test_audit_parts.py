# SPDX-License-Identifier: Apache-2.0
"""Finding records, and handing out a part of them."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpushare.model.audit import Actor, AuditQuery, Wrong
from gpushare.store.audit import (
    Files,
    Rotation,
    Style,
    file_lines,
    part,
    public_key,
    search,
    styled,
    verify,
)
from support.audit import LIN, START, AuditFolder


def test_texts_that_cannot_be_written_are_made_writable(audit_folder: AuditFolder):
    log = audit_folder.log()
    record = log.append(LIN, "x", "\udcff\n\r\x00 é 漢", detail={"long": "y" * 5000})
    log.close()

    assert len(record.detail["long"]) == 1000
    assert verify(file_lines([audit_folder.path])).ok
    assert Files(audit_folder.path).last() == record


@given(text=st.text(max_size=40))
@settings(max_examples=40)
def test_any_text_stays_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str):
    audit_folder = AuditFolder(tmp_path_factory.mktemp("text"))
    log = audit_folder.log()
    record = log.append(Actor(user=text), text, text, detail={"x": text, "y": "y"})
    log.close()

    assert Files(audit_folder.path).last() == record
    for style in Style:
        file = audit_folder.folder / f"part.{style}"
        file.write_bytes(styled([record], style))
        lines, alone = part(file)
        assert alone
        assert verify(lines, whole=False).ok


@pytest.mark.parametrize("style", list(Style))
def test_an_exported_part_is_verified_alone(filled: AuditFolder, tmp_path: Path, style: Style):
    everything = search(Files(filled.path), AuditQuery(last=0))
    heads = [record.seq for record in everything if record.action == "audit.head"]
    records = [r for r in everything if 4 <= r.seq <= heads[-1]]
    file = tmp_path / f"part.{style}"
    file.write_bytes(styled(records, style))

    def check():
        lines, alone = part(file)
        return verify(lines, keys=[public_key(filled.folder)], whole=not alone)

    assert check().ok
    assert check().signed == heads[-1]
    text = file.read_text()
    file.write_text(text.replace("share-5", "share-6"))
    assert check().flaw.kind is Wrong.EDITED
    file.write_bytes(styled([r for r in records if r.seq != 8], style))
    assert check().flaw.kind is Wrong.DELETED


def test_records_are_found_by_who_what_when_and_number(audit_folder: AuditFolder):
    log = audit_folder.log()
    for index, user in enumerate(["lin", "mei", "lin", "mei"]):
        audit_folder.now += timedelta(hours=1)
        log.append(Actor(user=user, uid=1000 + index), "POST /v1/shares", f"s{index}")
    log.append(LIN, "DELETE /v1/shares/{ref}", "s0", result="GS1301")
    log.close()
    files = Files(audit_folder.path)

    def found(**query):
        return [record.object for record in search(files, AuditQuery(**query)) if record.object]

    assert found(actor="mei") == ["s1", "s3"]
    assert found(actor="1002") == ["s2"]
    assert found(action="delete") == ["s0"]
    assert found(object="S1") == ["s1"]
    assert found(since=START + timedelta(hours=4)) == ["s3", "s0"]
    assert found(until=START + timedelta(hours=2)) == ["s0", "s1"]
    assert found(last=2) == ["s3", "s0"]
    assert found(after=3, upto=6, last=0) == ["s2", "s3"]


def test_records_of_a_renamed_event_are_found_by_both_names(audit_folder: AuditFolder):
    log = audit_folder.log()
    log.append(LIN, "share.quiet", "from an older daemon")
    log.append(LIN, "share.idle", "from this one")
    log.close()
    for name in ("share.quiet", "share.idle"):
        found = search(Files(audit_folder.path), AuditQuery(action=name))
        assert [record.object for record in found] == ["from an older daemon", "from this one"]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_any_moment_may_be_asked_for(filled: AuditFolder, moment: str):
    at = datetime.fromisoformat(moment)

    assert bool(search(Files(filled.path), AuditQuery(since=at))) is (at.year == 1)
    assert bool(search(Files(filled.path), AuditQuery(until=at))) is (at.year > 1)


def test_searching_goes_over_all_files(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, Rotation(size=2000, heads=100))
    audit_folder.fill(40)
    files = Files(audit_folder.path)
    numbers = list(range(1, files.last().seq + 1))

    assert [r.seq for r in search(files, AuditQuery(last=10_000))] == numbers
    assert [r.seq for r in search(files, AuditQuery(after=20, last=0))] == numbers[20:]


def test_lines_longer_than_a_block_are_read_backwards(tmp_path: Path):
    audit_folder = AuditFolder(tmp_path, Rotation(heads=1000))
    log = audit_folder.log()
    detail = {str(number): "z" * 999 for number in range(150)}
    for _ in range(3):
        log.append(LIN, "long", detail=detail)
    log.close()

    assert [r.seq for r in Files(audit_folder.path).backwards()] == [4, 3, 2, 1]
