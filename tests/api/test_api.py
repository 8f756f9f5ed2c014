# SPDX-License-Identifier: Apache-2.0
"""The wire: requests as anyone may send them, answers as everyone may rely on them."""

import contextlib
import json
import os
import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpushare.api.app import LARGEST_BODY
from gpushare.api.metrics import MEASURES
from gpushare.api.openapi import document
from gpushare.api.routes import ROUTES
from gpushare.api.server import PeerProtocol
from gpushare.model.units import GIB
from gpushare.model.view import Entry, GpuList, ShareList, ShareView

SMALL = {"spec": {"memory": {"limit": 8 * GIB}}, "program": "train.py"}


def test_a_share_from_beginning_to_end(api):
    made = api.call("POST", "/v1/shares", SMALL)
    assert made.status == 201
    assert made.json["apiVersion"] == "v1"
    assert made.json["state"] == "granted"
    assert made.json["user"]
    assert api.call("GET", f"/v1/shares/{made.json['id'][:5]}").json["name"] == "train"
    process = api.daemon.world.spawn()
    entry = api.call("POST", "/v1/shares/train/enter", {"pid": process.pid})
    assert entry.json["env"]["GPUSHARE_SHARE"] == made.json["id"]
    assert api.call("GET", "/v1/shares").json["items"][0]["state"] == "running"
    assert api.call("POST", "/v1/shares/train/verify").json["ok"]
    assert api.call("DELETE", "/v1/shares/train").code == "GS1703"
    api.daemon.world.end(process)
    assert api.call("DELETE", "/v1/shares/train").json["state"] == "released"
    assert api.call("GET", "/v1/shares").json["items"] == []
    assert len(api.call("GET", "/v1/shares?ended=true").json["items"]) == 1


def test_a_share_leaves_comes_back_and_changes(api):
    api.call("POST", "/v1/shares", SMALL)
    away = api.call("POST", "/v1/shares/train/suspend", {})
    assert (away.status, away.json["state"]) == (200, "suspended")
    assert away.json["suspension"]["cause"] == "user"
    assert away.json["suspendable"] == {
        "yes": True,
        "because": "",
        "memory": None,
        "unready": None,
    }
    back = api.call("POST", "/v1/shares/train/resume", {})
    assert (back.json["state"], back.json["suspension"]) == ("granted", None)
    changed = api.call("PATCH", "/v1/shares/train", {"compute": {"limit": 30}, "priority": "low"})
    assert (changed.json["compute"]["limit"], changed.json["priority"]) == (30, "low")
    assert api.call("PATCH", "/v1/shares/train", {"compute": {"limit": 0}}).code == "GS1102"


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "suspend", {"deep": "yes"}),
        ("POST", "suspend", {"timeout": 0}),
        ("POST", "suspend", {"timeout": -5}),
        ("POST", "suspend", {"timeout": 10**9}),
        ("POST", "suspend", {"sooner": True}),
        ("POST", "suspend", []),
        ("POST", "resume", {"timeout": "soon"}),
        ("PATCH", "", {"memory": {"limit": 1}}),
        ("PATCH", "", {"priority": "highest"}),
        ("PATCH", "", {"ttl": 0}),
        ("PATCH", "", {"gpus": 2}),
        ("PATCH", "", {"compute": {"limit": 10, "request": 20}}),
    ],
)
def test_nonsense_about_moves_and_changes_is_refused(api, method, target, body):
    api.call("POST", "/v1/shares", SMALL)
    path = f"/v1/shares/train/{target}".rstrip("/")
    answer = api.call(method, path, body)
    assert (answer.status, answer.code) == (400, "GS1102")
    assert api.call("GET", "/v1/shares/train").json["state"] == "granted"


def test_moving_what_is_not_there_is_not_found(api):
    for target in ("suspend", "resume"):
        assert api.call("POST", f"/v1/shares/nobody/{target}", {}).code == "GS1201"  # prose: allow
    assert api.call("PATCH", "/v1/shares/nobody", {}).code == "GS1201"  # prose: allow


def test_what_cannot_move_is_a_conflict(api):
    api.call("POST", "/v1/shares", {"spec": {}, "program": "whole"})
    answer = api.call("POST", "/v1/shares/whole/suspend", {})
    assert (answer.status, answer.code) == (409, "GS1704")


def test_answers_read_back_as_their_types(api):
    for target, kind in (("/v1/gpus", GpuList), ("/v1/shares", ShareList)):
        msgspec.json.decode(api.call("GET", target).body, type=kind)
    share = api.call("POST", "/v1/shares", SMALL).json
    del share["apiVersion"]
    msgspec.convert(share, ShareView)
    entry = api.call("POST", "/v1/shares/train/enter", {"pid": api.daemon.world.spawn().pid}).json
    del entry["apiVersion"]
    msgspec.convert(entry, Entry)


def test_the_callers_own_preload_stays(api):
    api.call("POST", "/v1/shares", SMALL)
    pid = api.daemon.world.spawn().pid
    entry = api.call("POST", "/v1/shares/train/enter", {"pid": pid, "preload": "/lib/own.so"})
    assert entry.json["env"].get("LD_PRELOAD", "/lib/own.so").endswith("/lib/own.so")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "GS1102"),
        (b"{", "GS1102"),
        (b"\xff\xfe", "GS1102"),
        (b"[]", "GS1102"),
        (b"null", "GS1102"),
        ({"spec": {"turns": True, "gpus": 2}}, "GS1102"),
        ({"spec": {"turns": True, "isolation": "hard"}}, "GS1102"),
        ({"spec": {"turns": "often"}}, "GS1102"),
        ({}, "GS1102"),
        ({"spec": {}, "sepc": 1}, "GS1102"),
        ({"spec": {"memroy": {"limit": 1}}}, "GS1102"),
        ({"spec": {"memory": {"limit": "8GiB"}}}, "GS1102"),
        ({"spec": {"memory": {"limit": -1}}}, "GS1102"),
        ({"spec": {"memory": {"limit": 2**80}}}, "GS1102"),
        ({"spec": {"compute": {"limit": 101}}}, "GS1102"),
        ({"spec": {"gpus": 0}}, "GS1102"),
        ({"spec": {"mechanism": "magic"}}, "GS1102"),
        ({"spec": {"gpu": ["nine"]}}, "GS1202"),
        ({"spec": {"memory": {"limit": 2**45}}}, "GS1701"),
        ({"spec": {"isolation": "strong", "memory": {"limit": GIB}}}, "GS1511"),
        ({"spec": {"mechanism": "mig"}}, "GS1511"),
        ({"spec": {"name": "../../etc"}}, "GS1102"),
        ({"spec": {}, "holder": 0}, "GS1100"),
        ({"spec": {}, "holder": 2**40}, "GS1100"),
    ],
)
def test_bad_requests_have_different_errors_and_change_nothing(api, body, code):
    answer = api.call("POST", "/v1/shares", body)
    assert answer.code == code
    assert answer.json["apiVersion"] == "v1"
    assert answer.json["error"]["what"]
    assert api.call("GET", "/v1/shares?ended=true").json["items"] == []


def test_a_body_that_is_too_large_is_refused(api):
    answer = api.call("POST", "/v1/shares", b" " * (LARGEST_BODY + 1))
    assert (answer.status, answer.code) == (400, "GS1102")


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "GS1200"),
        ("GET", "/v2/shares", 404, "GS1200"),
        ("GET", "/v1/shares/", 404, "GS1200"),
        ("PATCH", "/v1/shares", 405, "GS1100"),
        ("GET", "/v1/shares/nobody", 404, "GS1201"),  # prose: allow
        ("GET", "/v1/shares/%2e%2e", 404, "GS1201"),
        ("DELETE", "/v1/shares/nobody", 404, "GS1201"),  # prose: allow
        ("GET", "/v1/shares?endde=true", 400, "GS1102"),
        ("GET", "/v1/shares?ended=perhaps", 400, "GS1102"),
        ("GET", "/v1/shares/x/wait?for=eternity", 400, "GS1102"),
        ("GET", "/v1/events?since=yesterday", 400, "GS1100"),
    ],
)
def test_wrong_turns_have_an_answer(api, method, target, status, code):
    answer = api.call(method, target)
    assert (answer.status, answer.code) == (status, code)


def test_waiting_without_success_is_a_timeout(api):
    api.call("POST", "/v1/shares", SMALL)
    answer = api.call("GET", "/v1/shares/train/wait?for=running&timeout=0")
    assert (answer.status, answer.code) == (409, "GS1801")


@pytest.mark.parametrize("data", [b"\0\0\0", b"GET", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_ends_the_connection_only(api, data):
    api.raw(data)
    assert api.call("GET", "/v1/version").status == 200


@given(data=st.binary(max_size=300))
@settings(max_examples=40)
def test_no_body_breaks_the_daemon(api, data):
    assert api.call("POST", "/v1/shares", data).status == 400


def test_the_kernel_identifies_the_caller(api):
    assert api.call("POST", "/v1/shares", SMALL).status == 201
    share = api.daemon.store
    assert api.act(_owner(share)) == (os.geteuid(), os.getegid())


async def _owner(store):
    found = store.shares.living()[0]
    return found.uid, found.gid


def test_events_stream_from_where_the_listener_left(api):
    api.call("POST", "/v1/shares", SMALL)
    api.call("DELETE", "/v1/shares/train")
    api.loop.call_soon_threadsafe(api.daemon.parts.bus.close)
    whole = api.call("GET", "/v1/events")
    rest = api.call("GET", "/v1/events", **{"Last-Event-ID": "2"})
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert [event["seq"] for event in frames(whole)] == [1, 2, 3, 4]
    assert frames(rest) == frames(whole)[2:]
    assert frames(whole)[-1]["type"] == "share.released"


def frames(answer):
    lines = answer.body.split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


def test_metrics_are_prometheus_text(api):
    text = api.call("GET", "/v1/metrics").body.decode()
    for measure in MEASURES:
        assert f"# HELP {measure.name} {measure.doc}" in text


def test_openapi_describes_every_route(api):
    found = api.call("GET", "/v1/openapi.json").json
    assert found == json.loads(msgspec.json.encode(document()))
    for route in ROUTES:
        operation = found["paths"][route.path][route.method.lower()]
        assert operation["summary"] == route.doc
    text = json.dumps(found)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in found["components"]["schemas"]


def test_a_connection_without_a_complete_request_is_closed(api, monkeypatch):
    monkeypatch.setattr(PeerProtocol, "head_seconds", 0.05)
    for sent in (b"", b"GET /v1/gpus HTTP/1.1\r\nHost: loc"):
        with connected(api.path) as peer:
            peer.sendall(sent)
            assert peer.recv(64) == b""
    assert api.call("GET", "/v1/version").status == 200


def test_a_request_that_takes_long_is_not_cut(api, monkeypatch):
    monkeypatch.setattr(PeerProtocol, "head_seconds", 0.05)
    api.call("POST", "/v1/shares", SMALL)
    slow = api.call("GET", "/v1/shares/train/wait?for=running&timeout=1")
    assert slow.code == "GS1801"


def test_each_user_has_a_bounded_number_of_connections(api, monkeypatch):
    monkeypatch.setattr(PeerProtocol, "most_per_user", 3)
    monkeypatch.setattr(PeerProtocol, "unbounded", frozenset())
    monkeypatch.setattr(PeerProtocol, "head_seconds", 20)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            # The answer shows that the server has the connection.
            peer = stack.enter_context(connected(api.path))
            peer.sendall(b"GET /v1/version HTTP/1.1\r\nHost: gpushare\r\n\r\n")
            assert peer.recv(15) == b"HTTP/1.1 200 OK"
        for _ in range(5):
            refused = api.call("GET", "/v1/gpus")
            assert (refused.status, refused.code) == (429, "GS1306")
            assert refused.headers["retry-after"]
        monkeypatch.setattr(PeerProtocol, "unbounded", frozenset({os.geteuid()}))
        assert api.call("GET", "/v1/gpus").status == 200


def connected(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(20)
    peer.connect(str(path))
    return peer
