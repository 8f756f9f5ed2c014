# SPDX-License-Identifier: Apache-2.0
"""The chain: whatever is done to it shows."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpushare.model.audit import Wrong
from gpushare.store.audit import (
    file_lines,
    public_key,
    verify,
)
from support.audit import LIN, AuditFolder


@pytest.fixture
def spoilt(filled: AuditFolder):
    """The log that tests spoil, put back afterwards."""
    before = filled.lines()
    yield filled
    filled.put(before)


unspoilt = settings(max_examples=60)


def test_what_is_written_is_found_and_holds(filled: AuditFolder):
    report = filled.verify()

    assert report.ok
    assert report.records == report.last == len(filled.lines())
    assert report.signed > 12
    assert report.key == public_key(filled.folder)


def test_others_can_check_it_with_two_lines(filled: AuditFolder):
    """The format needs nothing of ours: SHA-256 of the line with an empty hash."""
    before = "0" * 64
    for raw in filled.lines():
        record = json.loads(raw)
        empty = raw.rstrip(b"\n").replace(record["hash"].encode(), b"", 1)
        again = json.dumps(
            record, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
        assert again + b"\n" == raw
        assert sha256(empty).hexdigest() == record["hash"]
        assert record["prev"] == before
        before = record["hash"]


@unspoilt
@given(data=st.data())
def test_any_byte_that_changes_is_found(spoilt: AuditFolder, data: st.DataObject):
    whole = b"".join(spoilt.original())
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    spoilt.path.write_bytes(whole[:at] + bytes([new]) + whole[at + 1 :])

    report = spoilt.verify()

    assert not report.ok
    assert report.flaw.line <= whole[:at].count(b"\n") + 2


@unspoilt
@given(data=st.data())
def test_any_record_that_is_taken_out_is_found(spoilt: AuditFolder, data: st.DataObject):
    lines = spoilt.original()
    at = data.draw(st.integers(0, len(lines) - 1))
    spoilt.put(lines[:at] + lines[at + 1 :])

    flaw = spoilt.verify().flaw

    last = at == len(lines) - 1
    assert flaw.kind is (Wrong.TRUNCATED if last else Wrong.DELETED)
    assert str(at + 1) in flaw.because


@unspoilt
@given(data=st.data())
def test_any_two_records_that_change_places_are_found(spoilt: AuditFolder, data: st.DataObject):
    lines = spoilt.original()
    one, other = sorted(
        data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    )
    lines[one], lines[other] = lines[other], lines[one]
    spoilt.put(lines)

    flaw = spoilt.verify().flaw

    assert flaw.kind is Wrong.REORDERED
    assert flaw.line == one + 1


@unspoilt
@given(data=st.data())
def test_any_end_that_is_cut_off_is_found(spoilt: AuditFolder, data: st.DataObject):
    whole = b"".join(spoilt.original())
    spoilt.path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    assert spoilt.verify().flaw.kind is Wrong.TRUNCATED


@unspoilt
@given(data=st.data())
def test_any_line_that_is_put_in_is_found(spoilt: AuditFolder, data: st.DataObject):
    lines = spoilt.original()
    at = data.draw(st.integers(0, len(lines)))
    new = data.draw(st.sampled_from(lines) | st.binary(min_size=1).map(lambda b: b + b"\n"))
    spoilt.put([*lines[:at], new, *lines[at:]])

    assert not spoilt.verify().ok


def test_a_chain_made_again_has_no_signature(spoilt: AuditFolder, tmp_path: Path):
    forger = AuditFolder(tmp_path / "forger")
    forger.fill(12)
    spoilt.put(forger.lines())

    flaw = spoilt.verify().flaw

    assert flaw.kind is Wrong.FOREIGN
    assert public_key(forger.folder) in flaw.because


def test_a_chain_made_again_without_heads_is_not_ours(
    spoilt: AuditFolder, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("gpushare.store.audit.signing.available", lambda: False)
    forger = AuditFolder(tmp_path / "forger")
    forger.fill(12)
    monkeypatch.undo()
    spoilt.put(forger.lines())

    report = verify(file_lines([spoilt.path]), keys=[public_key(spoilt.folder)])

    assert report.flaw.kind is Wrong.FOREIGN


def test_a_signature_that_was_changed_is_foreign(audit_folder: AuditFolder):
    """Even if the hashes were made again after the change."""
    log = audit_folder.log()
    head = log.head("asked")
    log.close()
    forged = json.loads(audit_folder.lines()[-1])
    forged["detail"]["why"] = "records"
    forged["hash"] = ""
    text = json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()
    sealed = text.replace(b'"hash":""', b'"hash":"%s"' % sha256(text).hexdigest().encode())
    audit_folder.put([*audit_folder.lines()[:-1], sealed + b"\n"])

    flaw = verify(file_lines([audit_folder.path])).flaw

    assert (flaw.kind, flaw.seq) == (Wrong.FOREIGN, head.seq)


def test_a_log_that_vanished_is_missed(tmp_path: Path):
    gone = AuditFolder(tmp_path)
    gone.fill(3)
    gone.path.unlink()
    gone.fill(6)

    report = gone.verify()

    assert report.flaw.kind is Wrong.DELETED
    assert gone.verify(whole=False).flaw is None


def test_a_daemon_that_finds_its_log_cut_keeps_reporting_it(audit_folder: AuditFolder):
    audit_folder.fill(6)
    audit_folder.put(audit_folder.lines()[:-2])
    log = audit_folder.log()

    assert [record.action for record in log.found] == ["audit.missing"]
    assert "no longer there" in log.found[0].detail["why"]
    log.append(LIN, "POST /v1/shares")
    log.settle()
    log.close()
    assert audit_folder.verify().flaw.kind is Wrong.DELETED


def test_a_daemon_that_finds_another_log_keeps_reporting_it(
    audit_folder: AuditFolder, tmp_path: Path
):
    audit_folder.fill(6)
    forger = AuditFolder(tmp_path / "forger")
    forger.fill(8)
    audit_folder.put(forger.lines())

    log = audit_folder.log()
    log.settle()
    log.close()

    assert log.found[0].action == "audit.missing"
    assert not verify(file_lines([audit_folder.path])).ok
