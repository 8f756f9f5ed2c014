# SPDX-License-Identifier: Apache-2.0
"""The chain: whatever is done to it, or happens to it, shows."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpushare.model.audit import Actor, AuditQuery, Wrong
from gpushare.model.errors import DaemonRunningError, DeniedError, StateFullError, UsageError
from gpushare.store.audit import (
    Files,
    Log,
    Marks,
    Rotation,
    Style,
    file_lines,
    part,
    public_key,
    remembered,
    search,
    signer,
    styled,
    verify,
)
from gpushare.store.audit.signing import raw_key
from gpushare.store.database import Database

LIN = Actor(user="lin", uid=1000)
START = datetime(2026, 11, 23, tzinfo=UTC)
FEW = Rotation(heads=4)


class Machine:
    """A log on folders of its own, and the daemons that write it one after the other."""

    def __init__(self, folder: Path, rotation: Rotation = FEW) -> None:
        self.folder, self.rotation = folder, rotation
        self.path = folder / "log" / "audit.jsonl"
        folder.mkdir(exist_ok=True)
        self.now = START

    def log(self) -> Log:
        return Log(
            self.path,
            now=lambda: self.now,
            marks=Marks(Database(self.folder / "state.db")),
            signer=signer(self.folder),
            rotation=self.rotation,
        )

    def fill(self, number: int) -> None:
        log = self.log()
        for index in range(number):
            log.append(LIN, "POST /v1/shares", f"share-{index}", detail={"memory": "8 GiB"})
        log.settle()
        log.close()

    def verify(self, **more):
        end = remembered(self.folder, self.path)
        lines = file_lines(Files(self.path).all())
        return verify(lines, keys=[public_key(self.folder)], end=end, **more)

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def put(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    found = Machine(tmp_path_factory.mktemp("filled"))
    found.fill(12)
    return found


@pytest.fixture
def spoilt(filled: Machine):
    """The log that tests spoil, put back afterwards."""
    before = filled.lines()
    yield filled
    filled.put(before)


unspoilt = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def test_what_is_written_is_found_and_holds(filled: Machine):
    report = filled.verify()

    assert report.ok
    assert report.records == report.last == len(filled.lines())
    assert report.signed > 12
    assert report.key == public_key(filled.folder)


def test_others_can_check_it_with_two_lines(filled: Machine):
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
def test_any_byte_that_changes_is_found(spoilt: Machine, data: st.DataObject):
    whole = b"".join(original(spoilt))
    at = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))
    spoilt.path.write_bytes(whole[:at] + bytes([new]) + whole[at + 1 :])

    report = spoilt.verify()

    assert not report.ok
    assert report.flaw.line <= whole[:at].count(b"\n") + 2


@unspoilt
@given(data=st.data())
def test_any_record_that_is_taken_out_is_found(spoilt: Machine, data: st.DataObject):
    lines = original(spoilt)
    at = data.draw(st.integers(0, len(lines) - 1))
    spoilt.put(lines[:at] + lines[at + 1 :])

    flaw = spoilt.verify().flaw

    last = at == len(lines) - 1
    assert flaw.kind is (Wrong.TRUNCATED if last else Wrong.DELETED)
    assert str(at + 1) in flaw.because


@unspoilt
@given(data=st.data())
def test_any_two_records_that_change_places_are_found(spoilt: Machine, data: st.DataObject):
    lines = original(spoilt)
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
def test_any_end_that_is_cut_off_is_found(spoilt: Machine, data: st.DataObject):
    whole = b"".join(original(spoilt))
    spoilt.path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    assert spoilt.verify().flaw.kind is Wrong.TRUNCATED


@unspoilt
@given(data=st.data())
def test_any_line_that_is_put_in_is_found(spoilt: Machine, data: st.DataObject):
    lines = original(spoilt)
    at = data.draw(st.integers(0, len(lines)))
    new = data.draw(st.sampled_from(lines) | st.binary(min_size=1).map(lambda b: b + b"\n"))
    spoilt.put([*lines[:at], new, *lines[at:]])

    assert not spoilt.verify().ok


def test_a_chain_made_anew_has_no_signature(spoilt: Machine, tmp_path: Path):
    forger = Machine(tmp_path / "forger")
    forger.fill(12)
    spoilt.put(forger.lines())

    flaw = spoilt.verify().flaw

    assert flaw.kind is Wrong.FOREIGN
    assert public_key(forger.folder) in flaw.because


def test_a_chain_made_anew_without_heads_is_not_ours(spoilt: Machine, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("gpushare.store.audit.signing.available", lambda: False)
    forger = Machine(tmp_path / "forger")
    forger.fill(12)
    monkeypatch.undo()
    spoilt.put(forger.lines())

    report = verify(file_lines([spoilt.path]), keys=[public_key(spoilt.folder)])

    assert report.flaw.kind is Wrong.FOREIGN


def test_a_signature_that_was_changed_is_foreign(machine: Machine):
    """Even where whoever changed it made the hashes anew."""
    log = machine.log()
    head = log.head("asked")
    log.close()
    forged = json.loads(machine.lines()[-1])
    forged["detail"]["why"] = "records"
    forged["hash"] = ""
    text = json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()
    sealed = text.replace(b'"hash":""', b'"hash":"%s"' % sha256(text).hexdigest().encode())
    machine.put([*machine.lines()[:-1], sealed + b"\n"])

    flaw = verify(file_lines([machine.path])).flaw

    assert (flaw.kind, flaw.seq) == (Wrong.FOREIGN, head.seq)


def test_a_log_that_vanished_is_missed(tmp_path: Path):
    gone = Machine(tmp_path)
    gone.fill(3)
    gone.path.unlink()
    gone.fill(6)

    report = gone.verify()

    assert report.flaw.kind is Wrong.DELETED
    assert gone.verify(whole=False).flaw is None


def test_a_daemon_that_finds_its_log_cut_says_so_for_ever(machine: Machine):
    machine.fill(6)
    machine.put(machine.lines()[:-2])
    log = machine.log()

    assert [record.action for record in log.found] == ["audit.missing"]
    assert "no longer there" in log.found[0].detail["why"]
    log.append(LIN, "POST /v1/shares")
    log.settle()
    log.close()
    assert machine.verify().flaw.kind is Wrong.DELETED


def test_a_daemon_that_finds_another_log_says_so_for_ever(machine: Machine, tmp_path: Path):
    machine.fill(6)
    forger = Machine(tmp_path / "forger")
    forger.fill(8)
    machine.put(forger.lines())

    log = machine.log()
    log.settle()
    log.close()

    assert log.found[0].action == "audit.missing"
    assert not verify(file_lines([machine.path])).ok


@pytest.mark.parametrize("heads", [2, 100])
def test_a_crash_at_any_byte_loses_nothing_that_was_settled(tmp_path: Path, heads: int):
    first = Machine(tmp_path / "first", Rotation(heads=heads))
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


def test_a_recovery_that_is_cut_off_itself_is_recovered(machine: Machine):
    machine.fill(2)
    good = machine.path.read_bytes()
    machine.path.write_bytes(good + b'{"action":"half')
    machine.log().close()
    whole = machine.path.read_bytes()

    for size in range(len(good), len(whole)):
        machine.path.write_bytes(whole[:size])
        machine.log().close()
        assert verify(file_lines([machine.path])).ok, size


def test_lines_that_were_cut_off_cannot_be_taken_out_or_changed(machine: Machine):
    machine.fill(2)
    with machine.path.open("ab") as file:
        file.write(b"half a li")
    machine.fill(1)
    lines = machine.lines()
    [at] = [n for n, raw in enumerate(lines) if raw.startswith(b"half")]

    machine.put([*lines[:at], *lines[at + 1 :]])
    assert machine.verify().flaw.kind is Wrong.DELETED
    machine.put([*lines[:at], b"whole lie (cut off)\n", *lines[at + 1 :]])
    assert machine.verify().flaw.kind is Wrong.EDITED


def test_files_are_turned_over_by_size_and_the_chain_goes_on(tmp_path: Path):
    machine = Machine(tmp_path, Rotation(size=3000, heads=100))
    machine.fill(30)
    older = Files(machine.path).older()

    assert [path.name for path in older[:2]] == ["audit-000001.jsonl", "audit-000002.jsonl"]
    assert machine.verify().ok
    for path in older:
        alone = verify(file_lines([path]), whole=False, keys=[public_key(tmp_path)])
        assert alone.ok
        assert alone.signed == alone.last
    first = json.loads(machine.lines()[0])
    last = json.loads(older[-1].read_bytes().splitlines()[-1])
    assert first["action"] == "audit.continued"
    assert first["detail"]["last"] == last["hash"]


def test_files_are_turned_over_by_age(machine: Machine):
    machine.fill(2)
    machine.now += timedelta(days=31)
    machine.fill(1)

    assert len(Files(machine.path).older()) == 1
    assert machine.verify().ok


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_whole_file_that_is_taken_away_is_missed(tmp_path: Path, which: int):
    machine = Machine(tmp_path, Rotation(size=2000, heads=100))
    machine.fill(30)
    Files(machine.path).older()[which].unlink()

    assert machine.verify().flaw.kind is Wrong.DELETED


def test_files_that_change_names_are_reordered_by_what_they_hold(tmp_path: Path):
    machine = Machine(tmp_path, Rotation(size=2000, heads=100))
    machine.fill(20)
    one, other, *_ = Files(machine.path).older()
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)

    assert machine.verify().ok


def test_a_crash_between_two_files_is_bridged(tmp_path: Path):
    machine = Machine(tmp_path)
    machine.fill(3)
    machine.path.rename(Files(machine.path).next_name())
    machine.fill(3)

    assert machine.verify().ok
    machine.path.rename(Files(machine.path).next_name())
    machine.path.touch()
    machine.fill(3)
    assert machine.verify().ok


@pytest.mark.parametrize("name", ["audit.jsonl.1", "audit.jsonl-20261123"])
def test_a_file_that_is_renamed_under_the_daemon_is_noticed(machine: Machine, name: str):
    log = machine.log()
    log.append(LIN, "before")
    machine.path.rename(machine.path.with_name(name))
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert machine.verify().ok
    first = json.loads(machine.lines()[0])
    assert first["action"] == "audit.continued"
    assert "renamed" in first["detail"]["why"]


def test_a_file_that_is_copied_and_emptied_goes_on(machine: Machine):
    """As logrotate's copytruncate does."""
    log = machine.log()
    log.append(LIN, "before")
    machine.path.with_name("audit.jsonl.1").write_bytes(machine.path.read_bytes())
    os.truncate(machine.path, 0)
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert machine.verify().ok


def test_lines_of_others_are_no_part_of_it(machine: Machine):
    log = machine.log()
    log.append(LIN, "before")
    with machine.path.open("ab") as file:
        file.write(b"a line of somebody else\n")
    log.append(LIN, "after")
    log.settle()
    log.close()

    assert log.found[0].action == "audit.missing"
    assert machine.verify().flaw.kind is Wrong.EDITED


def test_packed_files_are_not_read_but_named(machine: Machine):
    machine.fill(1)
    machine.path.with_name("audit-000001.jsonl.gz").write_bytes(b"\x1f\x8b")

    assert Files(machine.path).older() == []
    assert [path.name for path in Files(machine.path).packed()] == ["audit-000001.jsonl.gz"]
    assert Files(machine.path).next_name().name == "audit-000002.jsonl"


def test_a_file_that_cannot_be_turned_over_goes_on(tmp_path: Path, monkeypatch):
    """As after chattr +a."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    machine = Machine(tmp_path, Rotation(size=2000, heads=100))
    monkeypatch.setattr(Path, "rename", refuse)
    log = machine.log()
    for _ in range(20):
        log.append(LIN, "x")
    assert [record.action for record in log.found] == ["audit.stuck"]
    machine.now += timedelta(days=2)
    monkeypatch.undo()
    log.append(LIN, "y")
    log.settle()
    log.close()

    assert len(Files(machine.path).older()) == 1
    assert machine.verify().ok


def test_two_writers_are_one_too_many(machine: Machine):
    log = machine.log()
    with pytest.raises(DaemonRunningError):
        machine.log()
    log.close()
    machine.log().close()


def test_another_process_cannot_write_it_either(machine: Machine):
    log = machine.log()
    script = (
        "from pathlib import Path; import sys; from gpushare.store.audit.appender import Appender;"
        "Appender(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(machine.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    log.close()

    assert "DaemonRunningError" in done.stderr


def test_only_its_owner_writes_it_and_only_the_daemon_signs(machine: Machine):
    machine.path.parent.mkdir()
    machine.path.touch(0o666)
    machine.fill(1)

    assert stat.S_IMODE(machine.path.stat().st_mode) == 0o640
    assert stat.S_IMODE((machine.folder / "audit.key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_signs_nothing(machine: Machine):
    machine.fill(1)
    (machine.folder / "audit.key").chmod(0o644)

    with pytest.raises(DeniedError, match="others can read"):
        machine.log()


def test_a_link_in_its_place_is_not_followed(machine: Machine, tmp_path: Path):
    machine.path.parent.mkdir()
    machine.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(DeniedError):
        machine.log()


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_a_full_disk_stops_nothing_for_long(machine: Machine, monkeypatch, kept: int):
    """A write that is cut short leaves its beginning in the file."""
    log = machine.log()
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

    assert machine.verify().ok
    assert b"lost" not in b"".join(
        raw for raw in machine.lines() if not raw.endswith(b"(cut off)\n")
    )


def test_without_the_package_heads_are_unsigned_and_say_why(machine: Machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    machine.fill(6)
    head = next(r for r in map(json.loads, machine.lines()) if r["action"] == "audit.head")
    report = verify(file_lines([machine.path]))

    assert "gpushare[secure]" in head["detail"]["unsigned"]
    assert "signature" not in head["detail"]
    assert report.ok
    assert any("gpushare[secure]" in note for note in report.notes)


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "AAAA", "rsa:" + "A" * 43])
def test_what_is_no_key_is_refused(text: str):
    with pytest.raises(UsageError):
        raw_key(text)


def test_texts_that_cannot_be_written_are_made_writable(machine: Machine):
    log = machine.log()
    record = log.append(LIN, "x", "\udcff\n\r\x00 é 漢", detail={"long": "y" * 5000})
    log.close()

    assert len(record.detail["long"]) == 1000
    assert verify(file_lines([machine.path])).ok
    assert Files(machine.path).last() == record


@given(text=st.text(max_size=40))
@settings(deadline=None, max_examples=40)
def test_any_text_stays_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str):
    machine = Machine(tmp_path_factory.mktemp("text"))
    log = machine.log()
    record = log.append(Actor(user=text), text, text, detail={"x": text, "y": "y"})
    log.close()

    assert Files(machine.path).last() == record
    for style in Style:
        file = machine.folder / f"part.{style}"
        file.write_bytes(styled([record], style))
        lines, alone = part(file)
        assert alone
        assert verify(lines, whole=False).ok


@pytest.mark.parametrize("style", list(Style))
def test_an_exported_part_is_verified_alone(filled: Machine, tmp_path: Path, style: Style):
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


def test_records_are_found_by_who_what_when_and_number(machine: Machine):
    log = machine.log()
    for index, user in enumerate(["lin", "mei", "lin", "mei"]):
        machine.now += timedelta(hours=1)
        log.append(Actor(user=user, uid=1000 + index), "POST /v1/shares", f"s{index}")
    log.append(LIN, "DELETE /v1/shares/{ref}", "s0", result="GS1301")
    log.close()
    files = Files(machine.path)

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


def test_searching_goes_over_all_files(tmp_path: Path):
    machine = Machine(tmp_path, Rotation(size=2000, heads=100))
    machine.fill(40)
    files = Files(machine.path)
    numbers = list(range(1, files.last().seq + 1))

    assert [r.seq for r in search(files, AuditQuery(last=10_000))] == numbers
    assert [r.seq for r in search(files, AuditQuery(after=20, last=0))] == numbers[20:]


def test_lines_longer_than_a_block_are_read_backwards(tmp_path: Path):
    machine = Machine(tmp_path, Rotation(heads=1000))
    log = machine.log()
    detail = {str(number): "z" * 999 for number in range(150)}
    for _ in range(3):
        log.append(LIN, "long", detail=detail)
    log.close()

    assert [r.seq for r in Files(machine.path).backwards()] == [4, 3, 2, 1]


def test_a_mark_that_nobody_can_read_is_not_known(tmp_path: Path):
    assert remembered(tmp_path, tmp_path / "audit.jsonl") is None


def test_a_new_place_begins_a_new_chain_that_names_the_old_one(machine: Machine):
    machine.fill(3)
    old, machine.path = machine.path, machine.path.with_name("other.jsonl")
    machine.fill(6)

    assert machine.verify().ok
    assert json.loads(machine.lines()[0])["detail"]["before"].startswith(f"{old}: ")


_pristine: dict[Path, list[bytes]] = {}


def original(machine: Machine) -> list[bytes]:
    """The lines as they were, whatever an example before has made of them."""
    if machine.path not in _pristine:
        _pristine[machine.path] = machine.lines()
    return list(_pristine[machine.path])
