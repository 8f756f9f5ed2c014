# SPDX-License-Identifier: Apache-2.0
"""What is in the audit log of a daemon, and what does not."""

import asyncio
import os

import pytest
from msgspec.structs import replace

from gpushare.api.audited import audited
from gpushare.daemon.audit.audit_service import DaemonAudit
from gpushare.model.access.role import Role
from gpushare.model.access.token import NewToken, Token, TokenId, TokenRequest
from gpushare.model.audit import AuditQuery
from gpushare.model.errors import NotFoundError, RoleError, StateFullError
from gpushare.model.share import Caller, Verification
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import CreateRequest, EnterRequest
from gpushare.store.audit import Files, file_lines, search, verify
from support.world.audited_daemon import audited_session, deed
from support.world.session import ME

CHIEF = replace(ME, role=Role.OPERATOR)
USER = Caller(uid=4242, gid=4242, pid=1, role=Role.USER)


@pytest.fixture
def kept(world, state):
    with audited_session(world, state) as found:
        yield found


def test_start_and_stop_are_signed_heads(world, state):
    with audited_session(world, state) as kept:
        path = kept.path
    records = search(Files(path), AuditQuery())

    assert [r.action for r in records] == [
        "audit.opened",
        "daemon.started",
        "audit.head",
        "daemon.stopped",
        "audit.head",
    ]
    assert len(records[1].detail["settings"]) == 64
    assert verify(file_lines([path])).signed == 5


def test_other_settings_have_another_digest(kept):
    kept.writer.start(replace(kept.settings, reconcile_interval=7.0))

    first, second = (r.detail["settings"] for r in kept.records(action="daemon.started"))
    assert first != second


def test_a_share_leaves_its_whole_story(kept):
    async def story() -> None:
        await kept.here.core.reconcile()
        share = await kept.here.create(8)
        await kept.here.service.remove(share.id, ME)

    asyncio.run(story())

    actions = kept.actions()
    for action in ("share.queued", "share.granted", "share.released"):
        assert action in actions
    granted = next(r for r in kept.records() if r.action == "share.granted")
    assert granted.actor.user == "daemon"
    assert granted.object
    assert granted.detail["message"]


def test_turns_that_come_by_the_clock_are_not_kept(kept):
    kept.here.parts.bus.publish("share.turn", "has the GPU memory")
    kept.here.parts.bus.publish("share.waits", "another has it")

    assert not {"share.turn", "share.waits"} & set(kept.actions())


def test_a_call_is_kept_with_who_asked_for_what(kept):
    spec = ShareSpec(memory=MemoryAsk(limit=8 * GIB), name="train")
    body = CreateRequest(spec=spec, program="/home/lin/secret-project/train.py", log="/x/y")
    remote = replace(ME, token="abc123", remote="10.0.0.7")
    kept.writer.tell(deed(caller=remote, body=body))

    record = kept.records()[-1]
    assert record.action == "POST /v1/shares"
    assert record.actor.uid == os.geteuid()
    assert record.actor.token == "abc123"
    assert record.detail["from"] == "10.0.0.7"
    assert record.detail["spec.memory.limit"] == str(8 * GIB)
    assert record.detail["spec.name"] == "train"
    assert record.detail["program"] == "train.py"


def test_nothing_secret_is_written(kept):
    enter = EnterRequest(pid=77, preload="/secret/preload.so")
    labelled = CreateRequest(spec=ShareSpec(labels={"key": "secret-label"}))
    token = Token(
        id=TokenId("0123456789ab"),
        user="lin",
        uid=1000,
        role=Role.USER,
        scopes=("shares:read",),
        created=kept.here.world.clock.now(),
        expires=kept.here.world.clock.now(),
        maker=1000,
        note="secret-note",
    )
    made = NewToken(token=token, secret="gs_0123456789ab_secret-secret")
    kept.writer.tell(deed(path="/v1/shares/{ref}/enter", ref="s", body=enter))
    kept.writer.tell(deed(body=labelled))
    kept.writer.tell(deed(path="/v1/tokens", body=TokenRequest(note="secret-note"), answer=made))

    text = kept.path.read_bytes()
    assert b"secret" not in text
    assert kept.records()[-1].object == "0123456789ab"
    assert kept.records(action="enter")[0].detail["pid"] == "77"


def test_looks_are_kept_only_when_they_were_refused(kept):
    before = len(kept.records())
    kept.writer.tell(deed("GET"))
    kept.writer.tell(deed("GET", "/v1/shares/{ref}", result="GS1201"))
    assert len(kept.records()) == before

    kept.writer.tell(deed("GET", "/v1/shares/{ref}/wait", "x", USER, result="GS1301"))
    kept.writer.tell(deed("GET", "/v1/gpus", caller=None, result="GS1304"))
    assert [(r.actor.user, r.result) for r in kept.records()[before:]] == [
        ("4242", "GS1301"),
        ("unknown", "GS1304"),
    ]


def test_refusals_are_forwarded(kept):
    kept.writer.tell(deed(caller=USER, result="GS1303"))
    kept.writer.tell(deed(caller=USER))

    assert kept.refused == [(4242, "GS1303")]


def test_what_is_refused_again_and_again_is_counted(kept):
    for index in range(500):
        kept.writer.tell(deed("GET", "/v1/x", f"made-up-{index}", USER, result="GS1301"))
    kept.writer.settle()
    assert len(kept.records(action="/v1/x")) == 20

    kept.here.world.clock.pass_by(61)
    kept.writer.settle()
    records = kept.records(action="/v1/x")
    assert len(records) == 21
    assert records[-1].detail["again"] == "480"


def test_strangers_cannot_fill_the_disk_with_paths_that_they_make_up(kept):
    for index in range(500):
        kept.writer.tell(deed("GET", f"/v1/{index}", caller=None, result="GS1304"))

    assert len(kept.records(actor="unknown")) == 20


def test_limits_that_do_not_hold_are_reported(kept):
    found = Verification(at=kept.here.world.clock.now(), ok=False)
    kept.writer.tell(deed(path="/v1/shares/{ref}/verify", ref="train", answer=found))

    assert kept.records(object="train")[0].detail == {"holds": "no"}


def test_what_was_only_counted_is_written_at_the_end(world, state):
    with audited_session(world, state) as kept:
        for _ in range(30):
            kept.writer.tell(deed(caller=USER, result="GS1702"))
    assert kept.records(action="POST")[-1].detail["again"] == "10"


def test_what_changes_things_is_never_only_counted(kept):
    for _ in range(50):
        kept.writer.tell(deed("PATCH", "/v1/shares/{ref}", "x"))

    assert len(kept.records(action="PATCH")) == 50


@pytest.fixture
def full(monkeypatch):
    """A disk that takes nothing from audit logs, until it is called."""
    write = os.write

    def refuse(fd: int, data: bytes) -> int:
        if data.startswith(b'{"action"'):
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    return monkeypatch.undo


def test_a_full_disk_refuses_acts_and_loses_nothing(kept, full):
    kept.writer.tell(deed(ref="while it is full"))
    kept.here.parts.bus.publish("share.released", "its program ended")
    before = kept.here.world.clock.now()
    with pytest.raises(StateFullError, match="changes are refused now"):
        kept.writer.ready()
    assert kept.events() == ["audit.blocked"]

    full()
    kept.here.world.clock.pass_by(100)
    kept.writer.ready()

    told, released = (
        r for r in kept.records() if r.action in {"POST /v1/shares", "share.released"}
    )
    assert told.object == "while it is full"
    assert told.at == released.at == before
    assert kept.events() == ["audit.blocked", "audit.written"]
    kept.writer.settle()
    assert verify(file_lines([kept.path])).ok


def test_a_call_that_cannot_be_recorded_does_not_begin(kept, full):
    kept.writer.tell(deed())
    begun = []

    with pytest.raises(StateFullError), audited(kept.writer, "POST", "/v1/shares"):
        begun.append(True)
    with audited(kept.writer, "GET", "/v1/shares"):
        pass

    assert not begun
    full()


def test_the_next_pass_writes_what_waited(kept, full):
    kept.writer.tell(deed(ref="waited"))
    full()
    kept.writer.settle()

    assert kept.records(object="waited")


def test_how_many_were_lost_is_written_down(kept, full, monkeypatch):
    monkeypatch.setattr("gpushare.daemon.audit.writer._MOST_WAITING", 5)
    for _ in range(8):
        kept.writer.tell(deed())
    full()
    kept.writer.settle()

    assert kept.records(action="audit.lost")[0].detail["records"] == "3"


def test_a_log_that_was_cut_is_an_event(world, state):
    with audited_session(world, state) as kept:
        path = kept.path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    with audited_session(world, state) as kept:
        assert kept.events() == ["audit.missing"]


def test_a_log_that_was_moved_goes_on_in_a_new_file(kept):
    kept.path.rename(kept.path.with_name("audit.jsonl.1"))
    kept.writer.tell(deed())
    kept.writer.settle()

    assert kept.records(action="audit.continued")
    assert kept.events() == []
    assert verify(file_lines(Files(kept.path).all())).ok


def shown(kept, caller, **query):
    records = DaemonAudit(kept.log, kept.here.store.shares.of)
    return asyncio.run(records.records(AuditQuery(**query), caller))


def test_users_see_what_they_did_and_what_was_done_with_their_shares(kept):
    async def story():
        await kept.here.core.reconcile()
        return await kept.here.create(8)

    share = asyncio.run(story())
    kept.writer.tell(deed(caller=USER, ref="theirs"))

    assert {r.object for r in shown(kept, USER)} == {"theirs"}
    owner = replace(ME, role=Role.USER)
    assert {r.object for r in shown(kept, owner)} == {share.id}
    assert len(shown(kept, CHIEF)) == len(kept.records())


def test_only_operators_verify_and_sign(kept):
    records = DaemonAudit(kept.log)
    for call in (records.verify(USER), records.heads(USER), records.sign(USER)):
        with pytest.raises(RoleError):
            asyncio.run(call)

    head = asyncio.run(records.sign(CHIEF))
    report = asyncio.run(records.verify(CHIEF))
    assert report.ok
    assert report.signed == head.seq
    assert asyncio.run(records.heads(CHIEF))[-1] == head


def test_a_daemon_sees_what_was_cut_while_it_runs(kept):
    kept.writer.tell(deed())
    os.truncate(kept.path, 100)

    assert not asyncio.run(DaemonAudit(kept.log).verify(CHIEF)).ok


def test_without_a_log_there_is_nothing_to_see():
    with pytest.raises(NotFoundError):
        asyncio.run(DaemonAudit(None).records(AuditQuery(), CHIEF))
