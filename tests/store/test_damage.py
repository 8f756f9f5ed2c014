# SPDX-License-Identifier: Apache-2.0
"""Random damage of every file of a state directory is refused, named, or changes nothing."""

import os
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gpushare.model.errors import GpushareError, StateError
from gpushare.model.ids import GpuId, Tenant
from gpushare.model.operations.cordon import Cordon
from gpushare.model.policy.tenant import Policy, TenantSpec
from gpushare.model.profile import Profile
from gpushare.model.share import Decision, State, Verification
from gpushare.model.state.program_end import RecordBounds
from gpushare.model.units import Bytes
from gpushare.store import Act, Charge, Intent, Store, StoredCordon
from gpushare.store.audit import DAEMON, Log, signer
from support.shares import stored as share
from support.tokens import stored_token

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SEEDS = int(os.environ.get("GPUSHARE_TEST_SEEDS", "30"))
LOG = "audit.jsonl"
TABLES = (
    "shares", "events", "intents", "verifications", "contexts", "policies", "usage", "charged",
    "tokens", "profiles", "runs", "decisions", "audit", "outputs", "cordons",
)  # fmt: skip


def opened(folder: Path, **how: Any) -> Store:
    runtime = folder.parent / "run"
    runtime.mkdir(exist_ok=True)
    return Store(folder, boot="this", runtime=runtime, audit=folder / LOG, **how)


def log_of(store: Store, folder: Path) -> Log:
    return Log(folder / LOG, now=lambda: NOW, marks=store.marks, signer=signer(folder))


def fill(store: Store, log: Log) -> None:
    for number in range(20):
        store.shares.add(share(number, State.RELEASED if number % 3 else State.QUEUED))
        event = store.events.add(NOW, "share.queued", "by lin", share=share(number).id)
        log.append(DAEMON, event.type, share(number).id, detail={"event": str(event.seq)})
        store.contexts.put(GpuId(f"GPU-{number}"), "580.1", Bytes(500 + number))
        store.decisions.put(share(number).id, NOW, b'{"state": "some text"}' * 20)
        store.profiles.ended(f"train-{number}.py", 60.0 + number, Bytes(1 << 30), NOW)
        store.verifications.put("this", "580.1", ("mps", f"guard-{number}"), _verified())
    charges = [Charge(tenant=Tenant(f"lab-{n}"), at=NOW, seconds=n + 0.5) for n in range(20)]
    store.usage.add(charges, NOW)
    store.profiles.add(
        [Profile(program=f"p{n}", beside="", seconds=9.0, work=2.0 * n) for n in range(20)], NOW
    )
    for name in ("one", "two", "three"):
        store.tokens.add(stored_token(name), name.encode() * 8)
    policy = Policy(tenants={Tenant("lab"): TenantSpec(shares=3)})
    store.policy.put(policy, "root", NOW)
    decision = Decision(grants=(), mechanisms=())
    store.intents.open(Intent(share=share(0).id, act=Act.RELEASE, decision=decision))
    for number in (1, 2):
        store.outputs.put(share(number).id, 1000, "the last line", RecordBounds())
        store.cordons.put(StoredCordon(Cordon(target=f"GPU-{number}", at=NOW, by="root")))
    event = store.events.add(NOW, "policy.changed", "revision 1 by root")
    log.append(DAEMON, event.type, detail={"event": str(event.seq)})


def _verified() -> Verification:
    return Verification(at=NOW, driver="580.1", ok=True)


def rows(folder: Path) -> dict[str, set[tuple[Any, ...]]]:
    with closing(sqlite3.connect(folder / "state.db")) as raw:
        return {table: set(raw.execute(f"SELECT * FROM {table}")) for table in TABLES}


def outcome(folder: Path, **how: Any) -> tuple[tuple[str, ...], list[str]]:
    """What a start says of the state, and of the audit log."""
    with closing(opened(folder, **how)) as store:
        log = log_of(store, folder)
        said = [record.action for record in log.found]
        log.close()
        return store.losses, said


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Files that a daemon leaves that was stopped, and one that was killed."""
    folder = tmp_path_factory.mktemp("lived")
    with closing(opened(folder / "stopped")) as store:
        log = log_of(store, folder / "stopped")
        fill(store, log)
        log.head("stop")
        log.close()
    with closing(opened(folder / "running")) as store:
        log = log_of(store, folder / "running")
        fill(store, log)
        store.checkpoint()
        for number in range(20, 25):
            store.shares.add(share(number))
            event = store.events.add(NOW, "share.queued", "by lin", share=share(number).id)
            log.append(DAEMON, event.type, detail={"event": str(event.seq)})
        shutil.copytree(folder / "running", folder / "killed")
        log.close()
    # The marks are named after the directory.
    run = folder / "run"
    shutil.rmtree(run)
    for name in ("stopped", "killed"):
        shutil.copytree(folder / name, folder / f"{name}.undamaged")
    return folder


def damaged(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    way = chance.choice(["bits", "bytes", "zeros", "cut", "bits"])
    at = chance.randrange(len(data))
    match way:
        case "bits":
            for _ in range(chance.choice([1, 4, 64])):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case "bytes":
            part = data[at : at + chance.choice([1, 16, 512])]
            data[at : at + len(part)] = chance.randbytes(len(part))
        case "zeros":
            part = data[at : at + chance.choice([16, 512, 4096])]
            data[at : at + len(part)] = bytes(len(part))
        case _:
            del data[at:]
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_damage_is_refused_or_named_or_changes_nothing(lived, tmp_path, end, seed):
    folder = tmp_path / "state"
    shutil.copytree(lived / end, folder)
    # What it contains, and how often it says something undamaged.
    shutil.copytree(lived / end, tmp_path / "same" / "state")
    assert outcome(tmp_path / "same" / "state") == ((), [])
    before = rows(tmp_path / "same" / "state")
    chance = random.Random(f"{end} {seed}")
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.stat().st_size)
    # The state file half of the time: most of all that matters is in it.
    name = chance.choice([*names, *["state.db"] * len(names)])
    damaged(folder / name, chance)
    try:
        losses, said = outcome(folder)
    except GpushareError as error:
        assert isinstance(error, StateError), (name, error)  # noqa: PT017
        assert error.code != "GS1600", (name, error)  # noqa: PT017
        with suppress(StateError):
            outcome(folder, accept_loss=True)
        return
    if losses or said:
        return
    assert name not in {LOG, "audit.pub"} or "undamaged" in unchanged(folder, lived / end, name)
    after = rows(folder)
    for table in TABLES:
        assert after[table] == before[table], (name, table)


def unchanged(folder: Path, original: Path, name: str) -> str:
    """Of the log, where it was cut at the end of a record that the mark knows not, say."""
    same = (folder / name).read_bytes().startswith((original / name).read_bytes())
    return "undamaged" if same else "changed"


@pytest.fixture(scope="module")
def every_table(lived, tmp_path_factory):
    """A state with a row in each table, also in `damaged`."""
    folder = tmp_path_factory.mktemp("every") / "state"
    shutil.copytree(lived / "stopped", folder)
    with closing(sqlite3.connect(folder / "state.db")) as raw, raw:
        raw.execute("UPDATE events SET body = x'00' WHERE seq = 1")
    assert len(outcome(folder)[0]) == 1
    return folder


# SQLite's own tables have no room for a sum: the numbers of events in `sqlite_sequence` are
# compared with the marks, other numbers continue after the greatest in use.
_OURS = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
)
OTHER_VALUE = {
    "TEXT": "coalesce({0}, '') || 'x'",
    "INTEGER": "coalesce({0}, 0) + 1000000",
    "REAL": "coalesce({0}, 0) + 1.0",
    "BLOB": "CAST(coalesce(CAST({0} AS TEXT), '') || 'x' AS BLOB)",
}


def columns(folder: Path) -> list[tuple[str, str, str]]:
    """Every column of every table, and an UPDATE that changes it in one row."""
    with closing(sqlite3.connect(folder / "state.db")) as raw:
        found = []
        for (table,) in raw.execute(_OURS).fetchall():
            described = raw.execute(f"PRAGMA table_info({table})").fetchall()
            key = ", ".join(name for _, name, _, _, _, part in described if part)
            for _, name, kind, *_ in described:
                change = f"UPDATE {table} SET {name} = {OTHER_VALUE[kind].format(name)}"
                where = f"WHERE ({key}) = (SELECT {key} FROM {table} LIMIT 1)"
                found.append((table, name, f"{change} {where}"))
        return found


def test_a_changed_column_of_any_table_is_named(every_table, tmp_path):
    """Of every table that there is: a new one needs a checksum, and a row here."""
    unnoticed = []
    for table, column, change in columns(every_table):
        folder = tmp_path / f"{table}-{column}" / "state"
        shutil.copytree(every_table, folder)
        with closing(sqlite3.connect(folder / "state.db")) as raw, raw:
            raw.execute("PRAGMA ignore_check_constraints = ON")
            assert raw.execute(change).rowcount == 1, f"fill a row of {table}"
        if (losses := found(folder)) != [table]:
            unnoticed.append((table, column, losses))
    assert unnoticed == []


def found(folder: Path) -> list[str]:
    """The tables of the rows that a start names, or that of the constraint it sees violated."""
    try:
        return [loss.partition(" ")[0] for loss in outcome(folder, accept_loss=True)[0]]
    except StateError as error:
        assert "constraint failed" in error.because  # noqa: PT017
        return [error.because.rpartition(" ")[2]]
