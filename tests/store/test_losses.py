# SPDX-License-Identifier: Apache-2.0
"""A state file that has lost something: reported at start, and nothing is granted twice."""

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gpushare.model.access.token import TokenId
from gpushare.model.errors import StateCorruptError, StateError, StateLostError
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.share import Decision, State
from gpushare.store import Act, Intent, Store
from support.shares import stored as share
from support.tokens import stored_token

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MOST_LOG = 1024**2  # bytes
POLICY = Policy(tenants={Tenant("lab"): TenantSpec(shares=3)})


def fill(store: Store) -> None:
    for number in range(20):
        store.shares.add(share(number, State.RELEASED if number % 3 else State.QUEUED))
        store.events.add(NOW, "share.queued", "requested by lin", share=share(number).id)
    store.tokens.add(stored_token("one"), b"x" * 32)
    store.policy.put(POLICY, "root", NOW)
    store.events.add(NOW, "policy.changed", "revision 1 by root")


def contents(folder: Path, **how: Any) -> dict[str, Any]:
    with closing(Store(folder, boot="this", **how)) as store:
        return {
            "shares": {share.id: share for share in store.shares.all()},
            "policies": {view.revision: view for view in store.policy.history()},
            "tokens": {token.id: token for token in store.tokens.all()},
            "events": {event.seq: event for event in store.events.since(0)},
            "losses": store.losses,
        }


@pytest.fixture
def crashed(tmp_path):
    """What a daemon leaves that is killed: its last changes are in the write-ahead log."""
    folder = tmp_path / "crashed"
    with closing(Store(tmp_path / "state", boot="this")) as store:
        fill(store)
        for number in range(20, 25):
            store.shares.add(share(number))
            store.events.add(NOW, "share.queued", "requested by lin", share=share(number).id)
        shutil.copytree(tmp_path / "state", folder)
    return folder


def test_a_crash_loses_nothing(crashed):
    assert contents(crashed)["losses"] == ()
    assert len(contents(crashed)["shares"]) == 25


@pytest.mark.parametrize("how", ["removed", "cut"])
def test_a_lost_log_is_noticed(crashed, how):
    wal = crashed / "state.db-wal"
    if how == "removed":
        wal.unlink()
    else:
        wal.write_bytes(wal.read_bytes()[:100])
    with pytest.raises(StateLostError) as caught:
        contents(crashed)
    assert "write-ahead log" in caught.value.because
    assert "--accept-loss" in caught.value.hint
    with pytest.raises(StateLostError):  # nothing was changed by the look
        contents(crashed)
    accepted = contents(crashed, accept_loss=True)
    assert len(accepted["shares"]) == 20
    assert len(accepted["losses"]) == 1
    assert contents(crashed)["losses"] == ()


def test_the_write_ahead_log_is_bounded_in_bytes_under_load(tmp_path):
    """No time passes, so it is the size that calls for each checkpoint."""
    wal = tmp_path / "state.db-wal"
    beyond = 0
    with closing(Store(tmp_path, boot="this")) as store:
        store.settle(0.0)
        for _ in range(3000):
            store.events.add(NOW, "share.queued", "requested by lin" * 20)
            beyond += wal.stat().st_size > MOST_LOG
            store.settle(0.0)
            assert wal.stat().st_size <= MOST_LOG
    assert beyond > 1, "too little was written"


def test_an_older_copy_is_noticed(tmp_path):
    with closing(Store(tmp_path, boot="this")) as store:
        fill(store)
    shutil.copy(tmp_path / "state.db", tmp_path / "backup")
    with closing(Store(tmp_path, boot="this")) as store:
        store.tokens.remove(TokenId("one"))
        store.events.add(NOW, "token.revoked", "one by uid 0")
    shutil.copy(tmp_path / "backup", tmp_path / "state.db")
    with pytest.raises(StateLostError):
        contents(tmp_path)


def test_after_a_power_cut_what_the_disk_lost_is_said_and_the_daemon_starts(crashed):
    (crashed / "state.db-wal").unlink()
    with closing(Store(crashed, boot="another")) as store:
        assert "older copy" in store.losses[0]


def test_the_policy_and_tokens_are_in_the_file_itself(crashed, tmp_path):
    alone = tmp_path / "copy"
    alone.mkdir()
    shutil.copy(crashed / "state.db", alone)
    found = contents(alone)
    assert found["policies"][1].policy == POLICY
    assert set(found["tokens"]) == {"one"}


def damage(folder: Path, sql: str, *arguments: object) -> None:
    with closing(sqlite3.connect(folder / "state.db")) as raw, raw:
        raw.execute(sql, arguments)


SPOILT = b"00000000{}"
ESSENTIAL = {
    "a living share": ("UPDATE shares SET body = ? WHERE id = ?", SPOILT, share(0).id),
    "its owner": ("UPDATE shares SET uid = 7 WHERE id = ?", share(0).id),
    "the policy": ("UPDATE policies SET body = ?", SPOILT),
    "an act": ("UPDATE intents SET arguments = ?", SPOILT),
}
OTHERS = {
    "an ended share": ("UPDATE shares SET body = ? WHERE id = ?", SPOILT, share(1).id),
    "a token": ("UPDATE tokens SET body = ?", SPOILT),
    "when a token expires": ("UPDATE tokens SET expires = 99999999999",),
    "an event": ("UPDATE events SET body = ? WHERE seq = 3", b"\xff"),
}


@pytest.fixture
def filled(tmp_path):
    with closing(Store(tmp_path, boot="this")) as store:
        fill(store)
        decision = Decision(grants=(), mechanisms=())
        store.intents.open(Intent(share=share(0).id, act=Act.RELEASE, decision=decision))
    return tmp_path


@pytest.mark.parametrize("what", ESSENTIAL)
def test_without_an_essential_row_the_daemon_starts_only_when_told_to(filled, what):
    damage(filled, *ESSENTIAL[what])
    with pytest.raises(StateCorruptError) as caught:
        contents(filled)
    assert caught.value.code == "GS1601"
    assert "--accept-loss" in caught.value.hint
    assert len(contents(filled, accept_loss=True)["losses"]) == 1
    assert contents(filled)["losses"] == ()
    with closing(sqlite3.connect(filled / "state.db")) as raw:
        assert raw.execute("SELECT count(*) FROM damaged").fetchone() == (1,)


def test_a_policy_that_is_gone_is_a_loss_and_its_number_is_not_used_again(filled):
    with closing(Store(filled, boot="this")) as store:
        store.policy.put(Policy(), "root", NOW)
        store.events.add(NOW, "policy.changed", "revision 2 by root")
    damage(filled, "DELETE FROM policies WHERE revision = 2")
    with pytest.raises(StateLostError) as caught:
        contents(filled)
    assert "revision 2" in caught.value.because
    assert "--accept-loss" in caught.value.hint
    accepted = contents(filled, accept_loss=True)
    assert len(accepted["losses"]) == 1
    assert accepted["policies"][2].policy == POLICY
    assert contents(filled)["losses"] == ()
    with closing(Store(filled, boot="this")) as store:
        assert store.policy.put(Policy(), "root", NOW).revision == 3


@pytest.mark.parametrize("what", OTHERS)
def test_other_rows_are_put_aside_and_named(filled, what):
    damage(filled, *OTHERS[what])
    assert len(contents(filled)["losses"]) == 1
    assert contents(filled)["losses"] == ()


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_changes_a_value_unnoticed(filled, seed):
    before = contents(filled)
    path = filled / "state.db"
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.choice([1, 4, 64])):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    try:
        after = contents(filled, accept_loss=True)
    except StateError as error:
        assert error.code in {"GS1600", "GS1601", "GS1603"}  # noqa: PT017
        return
    for table in ("shares", "policies", "tokens", "events"):
        for key, value in after[table].items():
            assert value == before[table][key]
        gone = set(before[table]) - set(after[table])
        assert len(gone) <= len(after["losses"])


def lived(folder: Path, runtime: Path) -> None:
    """A daemon with an audit log, killed while it worked."""
    runtime.mkdir(exist_ok=True)
    with closing(
        Store(folder, boot="this", runtime=runtime, audit=folder / "audit.jsonl")
    ) as store:
        fill(store)


def reopened(folder: Path, runtime: Path, **how: Any) -> tuple[str, ...]:
    how = {"boot": "this", "runtime": runtime, "audit": folder / "audit.jsonl"} | how
    with closing(Store(folder, **how)) as store:
        return store.losses


def put_back(folder: Path, earlier: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(earlier, folder)


@pytest.mark.parametrize("boot", ["this", "another"])
def test_a_whole_state_directory_that_was_put_back_is_noticed(tmp_path, boot):
    """With its own mark and audit log: only the runtime directory knows better."""
    folder, runtime = tmp_path / "state", tmp_path / "run"
    lived(folder, runtime)
    shutil.copytree(folder, tmp_path / "earlier")
    with closing(Store(folder, boot="this", runtime=runtime)) as store:
        store.tokens.remove(TokenId("one"))
        store.events.add(NOW, "token.revoked", "one by uid 0")
        store.checkpoint()
    put_back(folder, tmp_path / "earlier")
    # What was synced is not lost in a power cut, so another boot is no excuse.
    with pytest.raises(StateLostError):
        reopened(folder, runtime, boot=boot)
    assert "older copy" in reopened(folder, runtime, boot=boot, accept_loss=True)[0]
    assert reopened(folder, runtime, boot=boot) == ()


def test_the_numbers_of_lost_events_are_not_used_again(crashed):
    (crashed / "state.db-wal").unlink()
    known = int((crashed / "state.mark").read_bytes().split()[0])
    with closing(Store(crashed, boot="this", accept_loss=True)) as store:
        assert store.events.add(NOW, "share.queued", "next").seq == known + 1


@pytest.mark.parametrize("text", [b"", b"damaged", b"99999 this", b"12 this 0 - 00000000"])
def test_a_mark_that_is_gone_or_damaged_hides_nothing_that_the_runtime_directory_knows(
    tmp_path, text
):
    folder, runtime = tmp_path / "state", tmp_path / "run"
    lived(folder, runtime)
    shutil.copytree(folder, tmp_path / "earlier")
    with closing(Store(folder, boot="this", runtime=runtime)) as store:
        store.events.add(NOW, "share.queued", "later")
    put_back(folder, tmp_path / "earlier")
    (folder / "state.mark").write_bytes(text)
    with pytest.raises(StateLostError):
        reopened(folder, runtime)


def test_a_damaged_mark_is_said(tmp_path):
    lived(tmp_path / "state", tmp_path / "run")
    (tmp_path / "state" / "state.mark").write_bytes(b"12 this 0 - 00000000")
    assert "state.mark was damaged" in reopened(tmp_path / "state", tmp_path / "run")[0]


def test_two_state_directories_with_one_runtime_directory_are_not_confused(tmp_path):
    lived(tmp_path / "one", tmp_path / "run")
    assert reopened(tmp_path / "two", tmp_path / "run") == ()
