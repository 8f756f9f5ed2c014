# SPDX-License-Identifier: Apache-2.0
"""What the daemon remembers, and what it refuses to start on."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from gpushare.model.errors import (
    ConflictError,
    DaemonRunningError,
    DeniedError,
    StateCorruptError,
    StateFullError,
    StateVersionError,
)
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.share import (
    Cause,
    Decision,
    Share,
    State,
    Suspension,
    Tier,
    Verification,
)
from gpushare.model.spec import MechanismName, ShareSpec
from gpushare.model.state.program_end import RecordBounds
from gpushare.store import Act, Intent, Store
from support.older_state import older_state

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GPU = GpuId("GPU-0")
UID = 1000


def share(identity: str, name: str, state: State = State.QUEUED) -> Share:
    return Share(
        id=ShareId(identity),
        name=name,
        spec=ShareSpec(),
        tenant=Tenant("lin"),
        uid=1000,
        gid=1000,
        state=state,
        created=NOW,
    )


def test_a_share_survives_reopening(tmp_path):
    first = Store(tmp_path)
    kept = first.shares.add(share("a1b2c3d4e5f6", "train"))
    first.close()

    second = Store(tmp_path)

    assert second.shares.get(kept.id) == kept
    second.close()


def test_a_share_stored_with_an_older_tier_name_is_read(tmp_path):
    with closing(Store(tmp_path)) as store:
        away = Suspension(cause=Cause.USER, since=NOW, tier=Tier.CHECKPOINT)
        store.shares.add(replace(share("a1", "x", State.SUSPENDED), suspension=away))
    database = sqlite3.connect(tmp_path / "state.db")
    with database:
        database.execute(
            # Without the checksum, as rows were when the tier had that name.
            "UPDATE shares SET sum = NULL, "
            "body = CAST(replace(substr(body, 9), 'checkpoint', 'deep') AS BLOB)"
        )
        assert database.execute("SELECT body FROM shares").fetchone()[0].count(b"deep") == 1
    database.close()
    with closing(Store(tmp_path)) as store:
        assert store.shares.get(ShareId("a1")).suspension == away


def test_living_names_of_a_user_are_unique_and_free_again_afterwards(store):
    store.shares.add(share("aaaaaaaaaaaa", "train"))
    with pytest.raises(ConflictError, match="named 'train'"):
        store.shares.add(share("bbbbbbbbbbbb", "train"))

    store.shares.move(ShareId("aaaaaaaaaaaa"), State.RELEASED)

    store.shares.add(share("cccccccccccc", "train"))
    assert store.shares.named(UID, "train").id == "cccccccccccc"


def test_names_of_another_user_are_not_taken(store):
    store.shares.add(share("aaaaaaaaaaaa", "train"))
    theirs = store.shares.add(replace(share("bbbbbbbbbbbb", "train"), uid=UID + 1))

    assert store.shares.named(UID + 1, "train") == theirs
    assert store.shares.names(UID + 2) == set()


def test_shares_are_found_by_the_beginning_of_their_id(store):
    store.shares.add(share("ab1111111111", "one"))
    store.shares.add(share("ab2222222222", "two"))

    assert [s.name for s in store.shares.beginning("ab2")] == ["two"]
    assert [s.name for s in store.shares.beginning("ab")] == ["one", "two"]


@pytest.mark.parametrize("digits", ["%", "_", "a%", "' OR 1=1 --"])
def test_the_beginning_of_an_id_is_no_pattern(store, digits):
    store.shares.add(share("aaaaaaaaaaaa", "one"))
    assert store.shares.beginning(digits) == []


def test_shares_of_an_older_state_file_belong_to_their_users(tmp_path):
    """Schema 7 had names that were unique on the machine, and no column for the user."""
    old = share("aaaaaaaaaaaa", "deadbeef")
    with older_state(tmp_path, 7) as database:
        row = (old.id, old.name, old.state, msgspec.json.encode(old))
        database.execute("INSERT INTO shares (id, name, state, body) VALUES (?, ?, ?, ?)", row)
    with closing(Store(tmp_path)) as store:
        assert store.shares.named(UID, "deadbeef") == old
        assert store.shares.names(UID) == {"deadbeef"}


def test_only_roads_that_exist_can_be_taken(store):
    store.shares.add(share("aaaaaaaaaaaa", "one"))
    with pytest.raises(ConflictError, match="is queued"):
        store.shares.move(ShareId("aaaaaaaaaaaa"), State.RUNNING)
    store.shares.move(ShareId("aaaaaaaaaaaa"), State.FAILED, reason="no")
    with pytest.raises(ConflictError, match="is failed"):
        store.shares.move(ShareId("aaaaaaaaaaaa"), State.GRANTED)


def test_living_shares_come_in_order_of_arrival(store):
    for number in range(5):
        store.shares.add(share(f"{9 - number}aaaaaaaaaaa", f"n{number}"))
    assert [s.name for s in store.shares.living()] == ["n0", "n1", "n2", "n3", "n4"]


def test_events_are_numbered_and_read_from_any_point(store):
    for number in range(3):
        store.events.add(NOW, "share.queued", str(number), share=ShareId("a"))
    assert [e.message for e in store.events.since(1)] == ["1", "2"]
    assert store.events.last() == 3


def test_an_intent_is_pending_until_confirmed(store):
    intent = store.intents.open(
        Intent(share=ShareId("a"), act=Act.GRANT, decision=Decision(grants=(), mechanisms=()))
    )
    assert store.intents.pending() == [intent]
    store.intents.confirm(intent)
    assert store.intents.pending() == []


def test_a_transaction_is_all_or_nothing(store):
    def half() -> None:
        with store.transaction():
            store.shares.add(share("aaaaaaaaaaaa", "one"))
            with store.transaction():
                store.events.add(NOW, "share.queued", "")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.shares.all() == []
    assert store.events.last() == 0


def test_a_proof_counts_for_its_boot_driver_and_stack_only(store):
    stack = (MechanismName.TIMESLICE, MechanismName.GUARD)
    proof = Verification(at=NOW, ok=True)
    store.verifications.put("boot-1", "580.1", stack, proof)

    assert store.verifications.get("boot-1", "580.1", stack) == proof
    assert store.verifications.get("boot-1", "581.0", stack) is None
    assert store.verifications.get("boot-1", "580.1", stack[:1]) is None
    store.verifications.put("boot-2", "580.1", stack, proof)
    assert store.verifications.get("boot-1", "580.1", stack) is None


def test_context_costs_are_kept_per_gpu_and_driver(tmp_path):
    first = Store(tmp_path)
    first.contexts.put(GPU, "580.1", 512)
    first.contexts.put(GPU, "581.0", 600)
    first.close()
    second = Store(tmp_path)
    assert second.contexts.get(GPU, "581.0") == 600
    assert second.contexts.get(GPU, "580.1") is None
    assert second.contexts.all() == {GPU: 600}
    second.close()


def ended_share(number: int, uid: int = 0, days: int = 0) -> Share:
    made = share(f"{number:012x}", f"n{number}")
    return replace(made, uid=uid, state=State.RELEASED, ended=NOW - timedelta(days=days))


def kept(store, bounds: RecordBounds) -> list[str]:
    store.shares.forget_old(bounds, NOW)
    return [one.name for one in store.shares.all()]


def end(store, *shares: Share) -> None:
    for one in shares:
        store.shares.add(replace(one, state=State.QUEUED))
        store.shares.move(one.id, State.RELEASED, ended=one.ended)


def test_old_shares_are_forgotten_and_living_ones_never(store):
    store.shares.add(share("f" * 12, "long"))
    end(store, *(ended_share(number) for number in range(1, 9)))

    assert kept(store, RecordBounds(shares=3)) == ["long", "n6", "n7", "n8"]


def test_one_user_does_not_push_out_what_others_have(store):
    end(store, ended_share(1, uid=1), *(ended_share(number, uid=2) for number in range(2, 9)))

    assert kept(store, RecordBounds(user_shares=2)) == ["n1", "n7", "n8"]


def test_shares_are_forgotten_by_age(store):
    end(store, ended_share(1, days=40), ended_share(2, days=20))

    assert kept(store, RecordBounds(days=30)) == ["n2"]
    assert kept(store, RecordBounds(days=0)) == ["n2"]


def test_output_is_bounded_for_a_user_and_for_all(store):
    shares = [ended_share(number, uid=number % 2) for number in range(1, 7)]
    end(store, *shares)
    bounds = RecordBounds(output=10, user_output=20, outputs=30)
    for one in shares:
        store.outputs.put(one.id, one.uid, "x" * 100, bounds)

    found = [one.name for one in shares if store.outputs.get(one.id) == "x" * 10]
    assert found == ["n4", "n5", "n6"]


def test_output_goes_with_its_share(store):
    end(store, ended_share(1))
    store.outputs.put(ended_share(1).id, 0, "text", RecordBounds())
    store.shares.forget(ended_share(1).id)

    assert store.outputs.get(ended_share(1).id) is None


def test_two_daemons_on_one_state_directory_are_refused(store, tmp_path):
    with pytest.raises(DaemonRunningError, match=f"pid {os.getpid()}") as caught:
        Store(tmp_path)
    assert caught.value.code == "GS1402"


def test_the_lock_goes_with_its_process(tmp_path):
    source = (
        "import os, sys; from pathlib import Path; from gpushare.store import Store;"
        "Store(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=False)
    Store(tmp_path).close()


@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_a_damaged_database_is_refused_and_kept(tmp_path, damage):
    opened = Store(tmp_path)
    for number in range(200):
        opened.events.add(NOW, "share.queued", "x" * 200 + str(number))
    opened.close()
    path = tmp_path / "state.db"
    good = path.read_bytes()
    bad = b"no database at all" * 500 if damage == "garbage" else good[: len(good) // 2]
    path.write_bytes(bad)

    with pytest.raises(StateCorruptError, match="damaged") as caught:
        Store(tmp_path)

    assert path.read_bytes() == bad
    assert f"{path}.damaged" in caught.value.hint


def test_a_newer_schema_is_refused_and_kept(tmp_path):
    Store(tmp_path).close()
    path = tmp_path / "state.db"
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StateVersionError, match="newer"):
        Store(tmp_path)
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (99,)
    raw.close()


def test_a_full_disk_refuses_the_new_and_keeps_the_old(disk, store):
    store.shares.add(share("aaaaaaaaaaaa", "one"))
    disk.fill()

    def fill() -> None:
        for number in range(10_000):
            store.events.add(NOW, "share.queued", "x" * 1000 + str(number))

    with pytest.raises(StateFullError, match="cannot write"):
        fill()

    assert [s.name for s in store.shares.living()] == ["one"]
    disk.free()
    store.shares.add(share("bbbbbbbbbbbb", "two"))
    assert len(store.shares.living()) == 2


def test_a_disk_that_is_full_for_real_loses_nothing(tmp_path):
    """The kernel refuses the write (RLIMIT_FSIZE) during a transaction."""
    source = """
import resource, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from gpushare.model.errors import StateError
from gpushare.store import Store

store = Store(Path(sys.argv[1]))
store.events.add(datetime.now(UTC), "share.queued", "first")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
kept = 1
try:
    for number in range(10_000):
        with store.transaction():
            store.events.add(datetime.now(UTC), "share.queued", "x" * 500)
        kept += 1
except StateError as error:
    print(kept, error.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", source, str(tmp_path)], capture_output=True, text=True, check=True
    )
    kept, code = done.stdout.split()
    assert code in {"GS1600", "GS1602"}
    reopened = Store(tmp_path)
    assert reopened.events.last() == int(kept)
    reopened.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_directory_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DeniedError, match="cannot write"):
        Store(Path(tmp_path / "state"))
