# SPDX-License-Identifier: Apache-2.0
"""The table of permissions: complete, and what really happens."""

from itertools import pairwise

import pytest

from gpushare.api.app import build
from gpushare.api.permissions import REQUIREMENTS, Requirement, default_scopes, requirement, scopes
from gpushare.model.access.role import Role
from gpushare.model.errors import RoleError, UnauthenticatedError
from gpushare.model.share import Caller

from .remote import ANA

ROLES = list(Role)
CALLS = sorted(REQUIREMENTS)
# What a call needs to be understood, so that a refusal is about who asks.
BODIES = {
    ("POST", "/v1/shares"): {"spec": {"memory": {"limit": 1 << 30}}},
    ("POST", "/v1/plan"): {"memory": {"limit": 1 << 30}},
    ("POST", "/v1/shares/{ref}/enter"): {"pid": 1},
    ("POST", "/v1/shares/{ref}/program-ended"): {"status": 0, "at": "2026-11-30T00:00:00Z"},
    ("POST", "/v1/login"): {"proof": "none"},
}


def test_every_call_has_a_row_and_every_row_a_call(house):
    app = build(house.daemon.service)
    served = {
        (method, route.path)
        for route in app.routes
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert served == set(REQUIREMENTS)


def test_a_call_without_a_row_is_for_admins():
    assert requirement("POST", "/v1/reboot").role is Role.ADMIN


def test_reading_asks_for_reading_and_changing_for_changing():
    for (method, path), row in REQUIREMENTS.items():
        if row.scope and path != "/v1/plan":
            assert row.scope.endswith(":read" if method == "GET" else ":write"), (method, path)


def test_only_logging_in_needs_no_name():
    assert {path for (_, path), row in REQUIREMENTS.items() if row.role is None} == {"/v1/login"}


@pytest.mark.parametrize("role", ROLES)
def test_each_call_is_open_to_just_the_roles_of_its_row(house, role):
    share = house.at_socket("POST", "/v1/shares", BODIES[("POST", "/v1/shares")]).json
    secret = house.secret("ana", role, scopes=scopes(role))
    house.loop.call_soon_threadsafe(house.daemon.parts.bus.close)  # streams end at once
    for method, path in CALLS:
        row = REQUIREMENTS[method, path]
        target = path.replace("{ref}", share["id"]) + ("?timeout=0" if "wait" in path else "")
        body = BODIES.get((method, path), {} if method in {"POST", "PUT", "PATCH"} else None)
        answer = house.call(method, target, body, token=secret)
        allowed = row.role is None or role.covers(row.role)
        code = answer.json["error"]["code"] if answer.status >= 400 else ""
        assert (code == RoleError.code) == (not allowed), (method, path, answer.body)
        if allowed and row.own and "{ref}" in path and not role.covers(Role.OPERATOR):
            assert code == "GS1301", (method, path)
        elif allowed:
            assert code != "GS1301", (method, path)
        assert answer.status < 500 or code != "GS1000", (method, path, answer.body)


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_token_without_the_scope_is_refused(method, path):
    row = REQUIREMENTS[method, path]
    caller = Caller(uid=ANA, gid=ANA, pid=0, role=Role.ADMIN, token="t", scopes=())
    if row.scope is None:
        row.check(caller)
        return
    with pytest.raises(RoleError, match="scope"):
        row.check(caller)


def test_an_unknown_caller_is_not_a_viewer():
    with pytest.raises(UnauthenticatedError):
        Requirement(Role.VIEWER).check(None)
    Requirement(None).check(None)


def test_a_role_has_what_the_lesser_ones_have():
    for less, more in pairwise(ROLES):
        assert set(scopes(less)) <= set(scopes(more))


def test_by_default_a_token_makes_no_tokens():
    for role in ROLES:
        assert "tokens:write" in scopes(role)
        assert "tokens:write" not in default_scopes(role)


@pytest.mark.parametrize("path", [path for method, path in CALLS if method == "GET"])
def test_head_asks_for_what_get_asks_for(house, path):
    answer = house.call("HEAD", path.replace("{ref}", "x"))
    assert answer.status == (401 if REQUIREMENTS["GET", path].role else 200)
