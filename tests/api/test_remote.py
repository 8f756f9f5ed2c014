# SPDX-License-Identifier: Apache-2.0
"""Callers from other machines: over real TLS, with tokens good and bad."""

import http.client
import json
import os
import socket
import ssl
from datetime import timedelta

import pytest

from gpushare.api import acceptor
from gpushare.api import app as api_app
from gpushare.api.server import RemoteProtocol
from gpushare.model.access.role import Role
from gpushare.model.errors import ConfigError
from gpushare.model.units import GIB
from support.certificates import Authority
from support.daemon import until

from .remote import EYE, LIN, living

SMALL = {"spec": {"memory": {"limit": 8 * GIB}}, "program": "train.py"}


def test_a_token_is_its_user(house):
    made = house.call("POST", "/v1/shares", SMALL, token=house.secret("lin"))
    assert made.status == 201
    assert made.json["user"] in {"lin", str(LIN)}
    assert house.act(_owner(house)) == (LIN, LIN)


async def _owner(house):
    found = house.daemon.store.shares.living()[0]
    return found.uid, found.gid


@pytest.mark.parametrize(
    "secret",
    ["", "x", "gs_", "gs__", "gs_0123456789ab_", "gs_0123456789ab_guess", "\xff\xfe", "gs_" * 99],
)
def test_a_wrong_token_is_refused(house, secret):
    answer = house.call("GET", "/v1/gpus", token=secret or " ")
    assert (answer.status, answer.code) == (401, "GS1304")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_right_id_with_another_secret_is_refused(house):
    one, other = house.secret(), house.secret()
    mixed = "_".join([*one.split("_", 2)[:2], other.split("_", 2)[2]])
    assert house.call("GET", "/v1/gpus", token=mixed).code == "GS1304"
    assert house.call("GET", "/v1/gpus", token=one[:-1]).code == "GS1304"
    assert house.call("GET", "/v1/gpus", token=one).status == 200


def test_without_a_token_there_is_only_the_way_to_one(house):
    assert house.call("GET", "/v1/shares").code == "GS1304"
    assert house.call("GET", "/v1/login").json == {"apiVersion": "v1", "issuer": "", "client": ""}
    assert house.call("POST", "/v1/login", {"proof": "x"}).code == "GS1511"


def test_a_token_on_the_socket_changes_nothing(house):
    secret = house.secret("eye")
    answer = house.at_socket("POST", "/v1/shares", SMALL, Authorization=f"Bearer {secret}")
    assert answer.status == 201
    assert house.act(_owner(house))[0] == os.geteuid()


def test_headers_about_the_caller_change_nothing(house):
    said = {"X_Forwarded_For": "10.0.0.1", "X_Remote_User": "root", "Forwarded": "for=10.0.0.1"}
    for _ in range(30):
        house.call("GET", "/v1/gpus", token="gs_a_b", **said)
    assert house.call("GET", "/v1/gpus", token="gs_a_b", X_Forwarded_For="10.9.9.9").status == 429


def test_a_revoked_token_is_refused_immediately_and_ends_its_streams(house):
    made = house.made("lin")
    child = house.call(
        "POST", "/v1/tokens", {}, token=house.secret("lin", scopes=("tokens:write", "gpus:read"))
    )
    assert child.status == 201
    stream = house.connection()
    stream.request("GET", "/v1/events", headers={"Authorization": f"Bearer {made.secret}"})
    response = stream.getresponse()
    assert response.readline() == b": still here\n"
    assert house.at_socket("DELETE", f"/v1/tokens/{made.token.id}").status == 200
    assert b"event:" not in response.read()  # it ends
    stream.close()
    assert house.call("GET", "/v1/gpus", token=made.secret).code == "GS1304"


def test_what_was_made_with_a_token_ends_with_it(house):
    parent = house.made("lin", scopes=("tokens:write", "gpus:read"))
    child = house.call("POST", "/v1/tokens", {"ttl": 10**7}, token=parent.secret).json
    assert child["token"]["scopes"] == ["gpus:read"]
    assert child["token"]["parent"] == parent.token.id
    assert child["token"]["expires"] == json_time(parent.token.expires)
    assert house.call("GET", "/v1/gpus", token=child["secret"]).status == 200
    house.at_socket("DELETE", f"/v1/tokens/{parent.token.id}")
    assert house.call("GET", "/v1/gpus", token=child["secret"]).code == "GS1304"


def json_time(at):
    return at.isoformat().replace("+00:00", "Z")


def test_a_token_expires(house):
    secret = house.secret("lin", ttl=3600)
    assert house.call("GET", "/v1/gpus", token=secret).status == 200
    house.world.clock.wall += timedelta(seconds=3601)
    answer = house.call("GET", "/v1/gpus", token=secret)
    assert (answer.status, answer.code) == (401, "GS1304")
    assert "expired" in answer.json["error"]["what"]


def test_a_user_without_an_account_has_no_token(house):
    secret = house.secret("lin")
    assert house.call("GET", "/v1/gpus", token=secret).status == 200
    house.directory.users.pop("lin")
    house.elapsed.seconds += 60
    assert house.call("GET", "/v1/gpus", token=secret).code == "GS1304"


def test_a_former_operator_has_no_operators_token(house):
    own = house.call(
        "POST",
        "/v1/tokens",
        {"role": "operator"},
        token=house.secret("ops", scopes=("tokens:write", "shares:write")),
    ).json
    share = house.at_socket("POST", "/v1/shares", SMALL).json["id"]
    patch = ("PATCH", f"/v1/shares/{share}", {"priority": "low"})
    made = house.call("POST", "/v1/tokens", {}, token=own["secret"])
    assert made.code == "GS1305"  # it lacks the scope
    assert house.call(*patch, token=own["secret"]).status == 200


def test_remote_callers_cannot_enter_a_share(house):
    made = house.call("POST", "/v1/shares", SMALL, token=house.secret("lin")).json
    for target, body in (
        (f"/v1/shares/{made['id']}/enter", {"pid": os.getpid()}),
        ("/v1/shares", {**SMALL, "holder": os.getpid()}),
    ):
        answer = house.call("POST", target, body, token=house.secret("lin"))
        assert (answer.status, answer.code) == (403, "GS1300")
        assert "ssh" in answer.json["error"]["hint"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7", "[::1]:9", "gpu.lab", "GPU.LAB:44"])
def test_names_of_this_machine_are_answered(house, host):
    assert house.call("GET", "/v1/gpus", token=house.secret(), Host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[::", "a b"])
def test_pages_that_were_rebound_to_here_are_refused(house, host):
    answer = house.call("GET", "/v1/gpus", token=house.secret(), Host=host)
    assert (answer.status, answer.code) == (403, "GS1300")


def test_foreign_pages_are_refused_on_both_listeners(house):
    own = f"https://localhost:{house.port}"
    for origin in (
        "https://evil.example",
        "null",
        f"{own}.evil.example",
        "file://",
        "https://[::",
        "",
    ):
        answer = house.call("GET", "/v1/gpus", token=house.secret(), Origin=origin)
        assert (answer.status, answer.code) == (403, "GS1300")
    assert house.call("GET", "/v1/gpus", token=house.secret(), Origin=own).status == 200
    assert house.at_socket("GET", "/v1/gpus", Origin="http://gpushare").code == "GS1300"


def test_no_answer_invites_pages_and_none_is_kept(house):
    answer = house.call("GET", "/v1/gpus", token=house.secret())
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "max-age" in answer.headers["strict-transport-security"]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "server" not in answer.headers


def test_a_caller_above_the_rate_waits_and_others_do_not(apart):
    apart.rules = api_app.FilterSettings(rate=2, burst=5, elapsed=apart.elapsed)
    with living(apart) as house:
        lin, ana = house.secret("lin"), house.secret("ana")
        codes = [house.call("GET", "/v1/version", token=lin).status for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2
        refused = house.call("GET", "/v1/version", token=lin)
        assert refused.code == "GS1306"
        assert refused.headers["retry-after"] == "1"
        assert house.call("GET", "/v1/version", token=ana).status == 200
        assert house.at_socket("GET", "/v1/version").status == 200
        house.elapsed.seconds += 0.5
        assert house.call("GET", "/v1/version", token=lin).status == 200


def test_guessing_is_refused_for_longer_each_time_and_a_good_token_gets_in(house):
    secret, waits = house.secret(), []
    for _ in range(14):
        answer = house.call("GET", "/v1/gpus", token="gs_0123456789ab_guess")
        if answer.status == 429:
            waits.append(int(answer.headers["retry-after"]))
            house.elapsed.seconds += waits[-1]
    assert waits == [1, 2]
    assert house.call("GET", "/v1/gpus", token=secret).status == 200


def test_a_caller_without_any_token_waits_too(house):
    codes = [house.call("GET", "/v1/gpus").status for _ in range(12)]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_large_requests_are_refused(house):
    secret = house.secret()
    body = b" " * (api_app.LARGEST_BODY + 1)
    assert house.call("POST", "/v1/shares", body, token=secret).code == "GS1102"
    assert house.call("GET", "/v1/gpus?" + "x" * 70_000, token=secret).status == 400
    assert house.call("GET", "/v1/gpus", token=secret, X_Long="x" * 70_000).status == 400
    assert house.call("GET", "/v1/gpus", token=secret).status == 200


def test_a_connection_without_a_request_is_closed(house, monkeypatch):
    monkeypatch.setattr(RemoteProtocol, "head_seconds", 0.05)
    with house.raw() as peer:
        peer.sendall(b"GET /v1/gpus HTTP/1.1\r\nHost: loc")
        assert _rest(peer) == b""
    with house.raw() as peer:
        assert _rest(peer) == b""


def test_a_body_that_does_not_come_is_not_waited_for(house, monkeypatch):
    monkeypatch.setattr(api_app, "BODY_SECONDS", 0.05)
    with house.raw() as peer:
        head = (
            f"POST /v1/shares HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {house.secret()}"
        )
        peer.sendall(f"{head}\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert peer.recv(64).startswith(b"HTTP/1.1 400")


def test_a_connection_is_good_for_many_requests(house):
    secret, connection = house.secret(), house.connection()
    for _ in range(3):
        connection.request("GET", "/v1/version", headers={"Authorization": f"Bearer {secret}"})
        assert connection.getresponse().read()
    connection.close()


def test_one_address_cannot_use_every_connection(house, monkeypatch):
    monkeypatch.setattr(acceptor, "MOST_PER_ADDRESS", 3)
    kept = [house.raw() for _ in range(3)]
    with pytest.raises((OSError, ssl.SSLError)):
        house.raw()
    kept.pop().close()
    until(lambda: _login_status(house) == 200, "a slot to be free")
    for one in kept:
        one.close()


def _login_status(house):
    try:
        return house.call("GET", "/v1/login").status
    except (OSError, http.client.HTTPException):
        return None


def test_a_connection_without_a_handshake_gives_up_its_slot(house, monkeypatch):
    monkeypatch.setattr(acceptor, "HANDSHAKE_SECONDS", 0.05)
    monkeypatch.setattr(acceptor, "MOST_PER_ADDRESS", 2)
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", house.port), timeout=120) as peer:
            assert _rest(peer) == b""
    until(lambda: _login_status(house) == 200, "a slot to be free")


def _rest(peer):
    try:
        return b"".join(iter(lambda: peer.recv(65536), b""))
    except (ConnectionResetError, ssl.SSLError):
        return b""


@pytest.mark.parametrize("data", [b"\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_what_is_not_tls_ends_the_connection_only(house, data):
    with socket.create_connection(("127.0.0.1", house.port), timeout=120) as peer:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        assert b"HTTP" not in _rest(peer)
    assert house.call("GET", "/v1/login").status == 200


def test_old_tls_is_refused(house):
    context = house.context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", house.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain, server_hostname="localhost")
    with house.raw() as peer:
        assert peer.version() == "TLSv1.3"


def test_a_new_certificate_is_taken_up_and_a_broken_one_is_not(house):
    def shown():
        with house.raw() as peer:
            return peer.getpeercert()["serialNumber"]

    first = shown()
    assert not house.certificate.renew()
    new = house.authority.issue("new", "localhost")
    key = house.pair.key.read_bytes()
    house.pair.key.write_bytes(b"nonsense")
    with pytest.raises(ConfigError):
        house.certificate.renew()
    assert shown() == first
    house.pair.cert.write_bytes(new.cert.read_bytes())
    house.pair.key.write_bytes(key)
    with pytest.raises(ConfigError):
        house.certificate.renew()
    assert shown() == first
    house.pair.key.write_bytes(new.key.read_bytes())
    assert house.certificate.renew()
    assert shown() != first


def test_a_key_that_everyone_can_read_is_refused(house):
    house.pair.key.chmod(0o644)
    with pytest.raises(ConfigError, match="everyone"):
        house.certificate.renew()


def test_callers_need_a_certificate_where_that_is_set(apart, tmp_path):
    folder = tmp_path / "clients"
    folder.mkdir()
    clients = Authority(folder, "clients")
    good, foreign = clients.issue("laptop"), apart.authority.issue("other")
    apart.client_ca = clients.cert
    with living(apart) as house:
        secret = house.secret()
        assert house.call("GET", "/v1/gpus", token=secret, client=good).status == 200
        for client in (None, foreign):
            with pytest.raises((OSError, http.client.HTTPException)):
                house.call("GET", "/v1/gpus", token=secret, client=client)


def test_on_this_machine_it_may_listen_in_clear(apart):
    apart.tls = False
    with living(apart) as house:
        answer = house.call("GET", "/v1/gpus", token=house.secret())
        assert answer.status == 200
        assert "strict-transport-security" not in answer.headers


def test_viewers_look_and_change_nothing(house):
    secret = house.secret("eye")
    assert house.call("GET", "/v1/gpus", token=secret).status == 200
    assert house.call("POST", "/v1/shares", SMALL, token=secret).code == "GS1305"
    found = house.call("GET", "/v1/tokens", token=secret).json["items"]
    assert [(one["uid"], one["role"]) for one in found] == [(EYE, Role.VIEWER)]
    assert "secret" not in json.dumps(found)
