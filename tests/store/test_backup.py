# SPDX-License-Identifier: Apache-2.0
"""Backups of the state file, and what a restore refuses, carries over and survives."""

import os
import random
import signal
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace as with_
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from gpushare.model.access.token import TokenId
from gpushare.model.audit import Mark
from gpushare.model.errors import (
    BackupError,
    DaemonRunningError,
    RestoreRefusedError,
    StateVersionError,
)
from gpushare.model.ids import GpuId, Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.share import Decision, State
from gpushare.model.state.backup import FORMAT, Manifest
from gpushare.store import Store
from gpushare.store.audit import DAEMON, Log, signer
from gpushare.store.backup import STATE, Here, Living, Restore, copied, packed
from support.older_state import older_state
from support.shares import stored as share
from support.tokens import stored_token

NOW = datetime(2026, 11, 30, tzinfo=UTC)
GPUS = (GpuId("GPU-1"),)
HERE = Here(machine="m", operator=os.geteuid(), gpus=GPUS, living=())


def policy(shares):
    return Policy(tenants={Tenant("lab"): TenantSpec(shares=shares)})


def held(number):
    decision = Decision(grants=(), mechanisms=())
    return replace(share(number, State.GRANTED), decision=decision)


def fill(store):
    for number in range(6):
        store.shares.add(held(number))
        store.events.add(NOW, "share.queued", "requested by lin", share=share(number).id)
    for name in ("kept", "revoked"):
        store.tokens.add(stored_token(name), b"x" * 32)
    store.policy.put(policy(3), "root", NOW)
    store.events.add(NOW, "policy.changed", "revision 1 by root")


def save(folder, file, **changes):
    content, counts, schema = copied(folder / STATE)
    manifest = Manifest(
        format=FORMAT,
        version="0.1.0",
        schema=schema,
        created=NOW,
        host="gpu1",
        machine="m",
        operator=os.geteuid(),
        gpus=GPUS,
        counts=counts,
        event=7,
        audit=Mark(seq=1, hash="0" * 64),
        audit_key="",
        settings={},
        files={},
    )
    file.write_bytes(packed(replace(manifest, **changes), {STATE: content})[1])


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    with closing(Store(folder, boot="this")) as store:
        fill(store)
    return folder


@pytest.fixture
def file(state, tmp_path):
    path = tmp_path / "backup.zip"
    save(state, path)
    return path


def plan(state, **changes):
    whole = Restore(folder=state, audit=state / "audit.jsonl", here=HERE, by="uid 0", now=NOW)
    return with_(whole, **changes)


def change(state):
    """What happens after the backup."""
    with closing(Store(state, boot="this")) as store:
        store.tokens.remove(TokenId("revoked"))
        store.tokens.add(stored_token("later"), b"y" * 32)
        store.policy.put(policy(5), "root", NOW)
        store.shares.add(held(7))
        store.shares.move(share(0).id, State.RELEASED)
        for _ in range(4):
            store.events.add(NOW, "share.queued", "later")


def files(folder):
    return {
        p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and "lock" not in p.name
    }


def test_what_was_backed_up_is_there_after_a_restore(state, file):
    change(state)
    report = plan(state).run(file)
    with closing(Store(state, boot="this")) as store:
        assert store.losses == ()
        assert store.restored.file == str(file)
        assert {it.id for it in store.shares.living()} == {share(n).id for n in range(6)}
        assert store.policy.current() == policy(3)
    assert (state / report.aside / STATE).exists()
    text = "\n".join(report.differences)
    for said in ("revision 1 of the backup becomes revision 3", "token revoked", "token later"):
        assert said in text
    assert f"({share(7).id}) was created since" in text


def test_revoked_tokens_stay_revoked(state, file):
    change(state)
    plan(state).run(file)
    with closing(Store(state, boot="this")) as store:
        assert [it.id for it in store.tokens.all()] == ["kept"]


def test_tokens_that_only_the_audit_log_says_were_revoked_stay_revoked(state, file):
    with closing(Store(state, boot="this")) as store:
        log = Log(state / "audit.jsonl", now=lambda: NOW, marks=store.marks, signer=signer(state))
        log.append(DAEMON, "x")
        log.append(DAEMON, "token.revoked", detail={"message": "revoked by uid 0"})
        log.close()
    (state / STATE).write_bytes(b"damaged" * 4096)
    report = plan(state).run(file)
    with closing(Store(state, boot="this")) as store:
        assert [it.id for it in store.tokens.all()] == ["kept"]
    assert "token revoked was revoked since" in "\n".join(report.differences)


def test_numbers_of_events_and_policies_are_not_used_again(state, file):
    change(state)
    with closing(Store(state, boot="this")) as store:
        last = store.events.last()
    plan(state).run(file)
    with closing(Store(state, boot="this")) as store:
        assert store.events.add(NOW, "share.queued", "next").seq == last + 1
        assert [view.revision for view in store.policy.history()] == [3, 2, 1]


def test_a_dry_run_changes_nothing(state, file):
    change(state)
    before = files(state)
    report = plan(state).look(file)
    assert report.dry_run
    assert report.differences
    assert files(state) == before


def test_a_running_daemon_is_not_replaced(state, file):
    with closing(Store(state, boot="this")), pytest.raises(DaemonRunningError):
        plan(state).run(file)


@pytest.mark.parametrize("part", range(20))
def test_a_backup_that_was_cut_off_is_refused(state, file, part):
    before, content = files(state), file.read_bytes()
    file.write_bytes(content[: len(content) * part // 20])
    with pytest.raises(BackupError):
        plan(state).run(file)
    assert files(state) == before


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_of_a_backup_is_restored(state, file, seed):
    """Either it is refused, or the damage is in bytes that mean nothing."""
    change(state)
    plan(state).run(file)
    expected = restored(state)
    content, chance = bytearray(file.read_bytes()), random.Random(seed)
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    try:
        plan(state).run(file)
    except BackupError:
        return
    assert restored(state)[:2] == expected[:2]


def restored(state):
    with closing(Store(state, boot="this")) as store:
        return store.shares.all(), store.tokens.all(), store.policy.newest()


@pytest.mark.parametrize("what", ["text", "folder in a zip", "another program's zip", "state.db"])
def test_another_file_is_refused(state, file, what):
    if what == "text":
        file.write_text("hello")
    elif what == "state.db":
        file.write_bytes((state / STATE).read_bytes())
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("manifest.json" if what.startswith("folder") else "x", b"[]")
    with pytest.raises(BackupError):
        plan(state).run(file)


def test_a_changed_state_in_the_archive_is_refused(state, file):
    with zipfile.ZipFile(file) as archive:
        manifest = archive.read("manifest.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr(STATE, (state / STATE).read_bytes()[:-1] + b"!")
    with pytest.raises(BackupError, match="SHA-256"):
        plan(state).run(file)


def test_a_damaged_value_in_a_backup_is_refused(state, tmp_path):
    with closing(sqlite3.connect(state / STATE)) as raw, raw:
        raw.execute("UPDATE shares SET body = ? WHERE id = ?", (b"00000000{}", share(3).id))
    save(state, tmp_path / "b.zip")
    with pytest.raises(BackupError, match=share(3).id):
        plan(state).run(tmp_path / "b.zip")


def test_the_backup_of_another_machine_needs_a_word(state, file):
    elsewhere = plan(state, here=with_(HERE, machine="n", gpus=(GpuId("GPU-2"),)))
    with pytest.raises(RestoreRefusedError, match="another machine") as caught:
        elsewhere.run(file)
    assert "gpu1" in caught.value.because
    with_(elsewhere, other_machine=True).run(file)


def test_without_a_driver_the_machine_is_known_by_its_id(state, file):
    plan(state, here=with_(HERE, gpus=())).run(file)
    with pytest.raises(RestoreRefusedError):
        plan(state, here=with_(HERE, gpus=(), machine="n")).run(file)


def test_the_backup_of_another_users_daemon_needs_a_word(state, file):
    with pytest.raises(RestoreRefusedError, match="another machine"):
        plan(state, here=with_(HERE, operator=4242)).run(file)
    plan(state, here=with_(HERE, operator=4242), other_machine=True).run(file)


def test_a_newer_backup_is_refused(state, tmp_path):
    save(state, tmp_path / "schema.zip", schema=999)
    with pytest.raises(StateVersionError, match="newer"):
        plan(state).run(tmp_path / "schema.zip")
    save(state, tmp_path / "format.zip", format=FORMAT + 1)
    with pytest.raises(BackupError, match="format"):
        plan(state).run(tmp_path / "format.zip")


@pytest.mark.parametrize("schema", [1, 4, 8])
def test_an_older_backup_is_brought_to_todays_schema(state, tmp_path, schema):
    old = tmp_path / "old"
    old.mkdir()
    with older_state(old, schema):
        pass
    save(old, tmp_path / "old.zip")
    plan(state).run(tmp_path / "old.zip")
    with closing(Store(state, boot="this")) as store:
        assert store.shares.all() == []


def test_programs_of_shares_that_the_backup_does_not_know_prevent_it(state, file):
    stranger = Living(share(9).id, (4711,))
    with pytest.raises(RestoreRefusedError, match="whose programs run") as caught:
        plan(state, here=with_(HERE, living=(stranger,))).run(file)
    assert "4711" in caught.value.because
    known = Living(share(1).id, (4711,))
    report = plan(state, here=with_(HERE, living=(known,))).run(file)
    assert not any(share(1).id in line for line in report.differences)


STEPS = [
    "prepared", "written", "noted", "decided", "aside state.db-wal", "aside state.db-shm",
    "aside state.mark", "aside state.db", "replaced", "done",
]  # fmt: skip


@pytest.mark.parametrize("last", STEPS)
def test_a_restore_that_is_killed_has_happened_or_not(state, file, last):
    change(state)

    def step(name):
        if name == last:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        plan(state, step=step).run(file)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    begun = STEPS.index(last) >= STEPS.index("decided")
    with closing(Store(state, boot="this")) as store:
        assert store.losses == ()
        assert (store.restored is not None) is begun
        assert store.policy.current() == policy(3 if begun else 5)
        assert store.tokens.get("revoked") is None
    plan(state).run(file)
    assert not [p.name for p in state.iterdir() if p.name.startswith("restore.s")]


def test_an_earlier_state_without_its_log_is_not_mixed_with_the_restored_one(state, file):
    """The write-ahead log of the replaced state must not be applied to the restored one."""
    store = Store(state, boot="this")
    store.shares.add(held(8))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    wal = (state / "state.db-wal").read_bytes()
    assert wal
    store.close()
    (state / "state.db-wal").write_bytes(wal)
    plan(state).run(file)
    with closing(Store(state, boot="this")) as opened:
        assert {it.id for it in opened.shares.living()} == {share(n).id for n in range(6)}
