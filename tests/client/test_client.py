# SPDX-License-Identifier: Apache-2.0
"""What the client makes of answers, refusals, silence and nonsense."""

import json
import os
import socketserver
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gpushare.client import Client
from gpushare.model.errors import (
    ConfigError,
    ConflictError,
    DaemonUnreachableError,
    NoCapacityError,
    ProtocolError,
    SocketDeniedError,
    WaitTimeoutError,
)
from gpushare.model.share import State
from gpushare.model.units import Seconds
from gpushare.model.view import CreateRequest
from gpushare.session.acquire import acquire
from gpushare.session.spec_options import changes, spec
from support.served import served

SHARE = {
    "id": "0123456789ab",
    "name": "train",
    "tenant": "ana",
    "user": "ana",
    "state": "granted",
    "priority": "normal",
    "isolation": "any",
    "mechanism": ["mps", "guard"],
    "gpus": ["GPU-1"],
    "memory": {"request": 1, "limit": 2, "used": None, "peak": None},
    "compute": {"request": 10, "limit": 20, "delivered": None},
    "enforcement": {
        "memory": "cooperative",
        "compute": "none",
        "fault": "none",
        "devices": "none",
    },
    "verified": None,
    "pids": [],
    "created": "2026-01-01T00:00:00Z",
    "started": None,
    "expires": None,
    "reason": "",
    "queue": None,
    "simulated": True,
}


def share(**changes: object) -> dict[str, object]:
    return {"apiVersion": "v1", **SHARE, **changes}


def refusal(code: str) -> dict[str, object]:
    body = {"code": code, "what": "no", "because": "why", "hint": "help"}
    return {"apiVersion": "v1", "error": body}


class Script(socketserver.ThreadingUnixStreamServer):
    """Answers requests in order with (status, body); the last answer stays."""

    def __init__(self, path: Path, answers: list[tuple[int, object]]) -> None:
        super().__init__(str(path), Handler)
        self.answers, self.asked = answers, []


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815 (the names that the library calls)

    def log_message(self, *_: object) -> None:
        pass


def serving(path: Path, *answers: tuple[int, object]) -> AbstractContextManager[Script]:
    return served(Script(path, list(answers)))


def test_answers_become_values(short_path: Path) -> None:
    with serving(short_path / "s", (200, share())):
        found = Client(short_path / "s").show("train")

    assert found.state is State.GRANTED
    assert found.memory.used is None


def test_names_cannot_break_out_of_the_path(short_path: Path) -> None:
    with serving(short_path / "s", (200, share())) as server:
        Client(short_path / "s").show("../gpus?x=1")

    assert server.asked == ["GET /v1/shares/..%3Agpus%3Fx%3D1"]


def test_shares_are_moved_and_changed(short_path: Path) -> None:
    with serving(short_path / "s", (200, share(state="suspended"))) as server:
        client = Client(short_path / "s")
        assert client.suspend("train", deep=True).state is State.SUSPENDED
        client.resume("train")
        client.update("train", changes(compute=25))

    assert server.asked == [
        "POST /v1/shares/train/suspend",
        "POST /v1/shares/train/resume",
        "PATCH /v1/shares/train",
    ]


def test_a_refusal_is_the_error_that_the_daemon_raised(short_path: Path) -> None:
    with (
        serving(short_path / "s", (409, refusal("GS1702"))),
        pytest.raises(NoCapacityError) as refused,
    ):
        Client(short_path / "s").create(CreateRequest(spec=spec()))

    assert (refused.value.what, refused.value.because, refused.value.hint) == ("no", "why", "help")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, {"items": []}),
        (200, {"apiVersion": "v2"}),
        (200, share(surprise=1)),
        (200, share(state="dancing")),
        (500, {"apiVersion": "v1"}),
        (500, b""),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(short_path: Path, status, body) -> None:
    with serving(short_path / "s", (status, body)), pytest.raises(ProtocolError):
        Client(short_path / "s").show("train")


def test_without_a_daemon_the_error_says_how_to_start_one(short_path: Path) -> None:
    with pytest.raises(DaemonUnreachableError) as refused:
        Client(short_path / "s").shares()

    assert "gpushare daemon" in refused.value.hint


def test_a_socket_that_a_dead_daemon_left_is_no_daemon(short_path: Path) -> None:
    Script(short_path / "s", []).server_close()

    with pytest.raises(DaemonUnreachableError):
        Client(short_path / "s").shares()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_socket_without_permission_is_denied(short_path: Path) -> None:
    with serving(short_path / "s", (200, share())):
        (short_path / "s").chmod(0)
        with pytest.raises(SocketDeniedError):
            Client(short_path / "s").shares()


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Client(tmp_path / ("x" * 120)).shares()


QUEUED = share(state="queued", queue={"position": 1, "waits_for": "memory", "eta": None})


def test_a_queued_share_is_reported_until_it_is_granted(short_path: Path) -> None:
    on_wait: list[int] = []
    answers = [(201, QUEUED), (409, refusal("GS1801")), (200, QUEUED), (200, share())]
    with (
        serving(short_path / "s", *answers),
        acquire(
            Client(short_path / "s"),
            CreateRequest(spec=spec()),
            timeout=None,
            on_wait=lambda found: on_wait.append(found.queue.position if found.queue else 0),
        ) as granted,
    ):
        assert granted.state is State.GRANTED

    assert on_wait == [1, 1]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_interrupts_the_wait_withdraws_the_share(short_path: Path, failure) -> None:
    def on_wait(_: object) -> None:
        raise failure

    with serving(short_path / "s", (201, QUEUED)) as server:
        with (
            pytest.raises(failure),
            acquire(
                Client(short_path / "s"), CreateRequest(spec=spec()), timeout=None, on_wait=on_wait
            ),
        ):
            pass

        assert server.asked[-1] == "DELETE /v1/shares/0123456789ab"


def test_the_time_to_wait_runs_out_and_the_share_is_withdrawn(short_path: Path) -> None:
    with serving(short_path / "s", (201, QUEUED)) as server:
        with (
            pytest.raises(WaitTimeoutError, match="memory"),
            acquire(
                Client(short_path / "s"),
                CreateRequest(spec=spec()),
                timeout=Seconds(0),
                on_wait=lambda _: None,
            ),
        ):
            pass

        assert server.asked[-1].startswith("DELETE")


def test_a_share_that_someone_removes_meanwhile_is_not_entered(short_path: Path) -> None:
    answers = [(201, QUEUED), (200, share(state="released", reason="removed"))]
    with (
        serving(short_path / "s", *answers),
        pytest.raises(ConflictError, match="removed"),
        acquire(
            Client(short_path / "s"),
            CreateRequest(spec=spec()),
            timeout=None,
            on_wait=lambda _: None,
        ),
    ):
        pass
