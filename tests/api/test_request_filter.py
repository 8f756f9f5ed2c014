# SPDX-License-Identifier: Apache-2.0
"""What every request passes first, on each of the two listeners."""

import asyncio
import json

import pytest

from gpushare.api.request_filter import FilterSettings, RequestFilter
from gpushare.model.access.role import Role
from gpushare.model.errors import UnauthenticatedError
from gpushare.model.share import Caller


class Names:
    """Knows one token, and users by their uids."""

    async def know(self, peer):
        """It knows all."""

    def local(self, peer):
        return Caller(uid=peer.uid, gid=0, pid=1, role=Role.USER if peer.uid else Role.ADMIN)

    def bearer(self, secret, address):
        if secret != "good":
            raise UnauthenticatedError("the token is not known")
        return Caller(uid=5, gid=5, pid=0, token="t", remote=address)


class Heard(list):
    """An audit log."""

    def ready(self) -> None: ...

    def tell(self, deed) -> None:
        self.append(deed)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class FilteredApp:
    """A gate with nothing behind it but an answer of one status."""

    def __init__(self, status: int = 200, **rules) -> None:
        self.clock, self.audit, self.passed, self.status = Clock(), Heard(), [], status
        self.rules = FilterSettings(elapsed=self.clock, **rules)
        self.gate = RequestFilter(self._behind, Names(), self.audit, self.rules)

    async def _behind(self, scope, receive, send):
        self.passed.append(scope["state"]["caller"])
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    def ask(self, headers=(), path="/v1/gpus", **state) -> tuple[int, dict]:
        sent = self.messages(path, [(b"host", b"localhost"), *headers], state)
        found = dict(sent[0]["headers"])
        return sent[0]["status"], {name.decode(): value.decode() for name, value in found.items()}

    def messages(self, path, headers, state) -> list[dict]:
        """What is sent for a request."""
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": headers,
            "state": state,
        }
        asyncio.run(self.gate(scope, None, send))
        return sent


def test_limits_and_names_can_change_while_requests_come():
    app = FilteredApp(rate=1, burst=1)
    assert [app.ask(peer=peer(7))[0] for _ in range(2)] == [200, 429]

    app.rules.rate, app.rules.burst = 1000, 50
    app.clock.seconds += 1

    assert [app.ask(peer=peer(7))[0] for _ in range(40)] == [200] * 40
    assert app.ask(remote="10.0.0.1")[0] == 200
    app.rules.hosts = frozenset()
    assert app.ask(remote="10.0.0.1")[0] == 403


def peer(uid: int) -> Caller:
    return Caller(uid=uid, gid=uid, pid=9)


def token(secret: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {secret}".encode())]


def test_each_user_of_the_socket_has_a_rate_limit_and_admins_none():
    app = FilteredApp(rate=1, burst=3)
    assert [app.ask(peer=peer(7))[0] for _ in range(4)] == [200, 200, 200, 429]
    assert app.ask(peer=peer(8))[0] == 200
    assert all(app.ask(peer=peer(0))[0] == 200 for _ in range(20))
    app.clock.seconds += 1
    assert app.ask(peer=peer(7))[0] == 200


def test_behind_the_filter_the_caller_is_known():
    app = FilteredApp()
    app.ask(peer=peer(7))
    app.ask(remote="10.0.0.1", headers=token("good"))
    app.ask(remote="10.0.0.1")
    assert [caller and (caller.uid, caller.remote) for caller in app.passed] == [
        (7, None),
        (5, "10.0.0.1"),
        None,
    ]


def test_the_socket_looks_at_no_token_and_the_network_at_no_peer():
    app = FilteredApp()
    assert app.ask(peer=peer(7), headers=token("bad"))[0] == 200
    assert app.passed[0].uid == 7
    assert app.ask(remote="10.0.0.1", headers=token("bad"))[0] == 401


@pytest.mark.parametrize(
    "scheme", [b"Basic good", b"good", b"Bearer", b"bearer  ", b"BearerX good"]
)
def test_other_proofs_are_none(scheme):
    app = FilteredApp()
    status, _ = app.ask(remote="10.0.0.1", headers=[(b"authorization", scheme)])
    assert status == 401 or app.passed == [None]


def test_wrong_tokens_are_audited_without_the_token_until_the_address_has_to_wait():
    app = FilteredApp()
    codes = [app.ask(remote="10.0.0.1", headers=token("guess"))[0] for _ in range(20)]
    assert codes == [401] * 10 + [429] * 10
    assert len(app.audit) == 10
    assert {(deed.caller, deed.result, deed.path) for deed in app.audit} == {
        (None, "GS1304", "/v1/gpus")
    }
    assert "guess" not in repr(app.audit)


def test_a_request_that_needs_a_token_and_has_none_counts_as_failed():
    app = FilteredApp(status=401)
    codes = [app.ask(remote="10.0.0.1")[0] for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    assert app.ask(remote="10.0.0.2")[0] == 401


def test_refusals_say_when_to_come_back():
    app = FilteredApp(rate=0.1, burst=1)
    app.ask(peer=peer(7))
    status, headers = app.ask(peer=peer(7))
    assert (status, headers["retry-after"]) == (429, "10")


def test_heads_are_small():
    app = FilteredApp()
    assert app.ask(peer=peer(0), headers=[(b"x", b"y" * 20_000)])[0] == 400
    assert app.ask(peer=peer(0), path="/" + "x" * 20_000)[0] == 400
    assert app.ask(peer=peer(0), headers=[(b"x", b"y" * 2_000)])[0] == 200


def test_a_scope_that_is_not_http_passes():
    seen = []

    async def behind(scope, receive, send):
        seen.append(scope["type"])

    gate = RequestFilter(behind, Names(), Heard(), FilterSettings())
    asyncio.run(gate({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_errors_have_the_shape_of_all_errors():
    headers, state = [(b"host", b"evil.example")], {"remote": "10.0.0.1"}
    sent = FilteredApp().messages("/", headers, state)
    body = json.loads(sent[1]["body"])
    assert body["apiVersion"] == "v1"
    assert body["error"]["code"] == "GS1300"
