# SPDX-License-Identifier: Apache-2.0
"""Tokens: who may make which, and for which users; what is left of them."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from api.remote import ANA, EYE, LIN, OPS, Elapsed, MadeUp
from gpushare.api.permissions import default_scopes
from gpushare.daemon.access.accounts import Accounts
from gpushare.daemon.access.oidc import SESSION, LoginClaims
from gpushare.daemon.access.tokens import MOST, AccessTokens
from gpushare.model.access.role import Role
from gpushare.model.access.token import Login, LoginRequest, TokenRequest
from gpushare.model.errors import (
    ConflictError,
    NoSuchTokenError,
    RoleError,
    UnauthenticatedError,
    UsageError,
)
from gpushare.model.share import Caller
from support.world.session import ME, session
from support.world.world import UID

ADMIN = ME
WRITE = ("tokens:write",)


class NamingIssuer:
    """An issuer that names the user in the proof."""

    login, session = Login(issuer="https://id.lab", client="cli"), SESSION

    async def verify(self, proof: str, _) -> LoginClaims:
        user, _, role = proof.partition(" ")
        return LoginClaims(user=user, operator=role == "operator")


@pytest.fixture
def keys(world, state):
    with session(world, state) as here:
        directory, elapsed = MadeUp(), Elapsed()
        accounts = Accounts(UID, directory, elapsed, operators=["gpu-ops"], viewers=["gpu-eyes"])
        found = AccessTokens(here.store, accounts, here.parts.bus, world.clock, NamingIssuer())
        found.world, found.here = world, here
        found.directory, found.elapsed = directory, elapsed
        yield found


def local(keys: AccessTokens, uid: int) -> Caller:
    return keys.local(Caller(uid=uid, gid=uid, pid=7))


def make(keys: AccessTokens, caller: Caller, **request):
    return asyncio.run(keys.create(TokenRequest(**request), caller))


def test_roles_come_from_uids_and_groups(keys):
    roles = [local(keys, uid).role for uid in (0, UID, LIN, OPS, EYE, 77)]
    assert roles == ["admin", "admin", "user", "operator", "viewer", "user"]


@pytest.mark.parametrize("uid", [LIN, OPS, EYE])
def test_a_token_can_do_what_its_maker_can_and_not_more(keys, uid):
    caller = local(keys, uid)
    made = make(keys, caller)
    assert (made.token.uid, made.token.role) == (uid, caller.role)
    assert made.token.scopes == default_scopes(caller.role)
    for role in Role:
        if caller.role.covers(role):
            assert make(keys, caller, role=role).token.role is role
        else:
            with pytest.raises(RoleError):
                make(keys, caller, role=role)


def test_only_admins_make_tokens_for_others(keys):
    assert make(keys, ADMIN, user="lin").token.uid == LIN
    assert make(keys, ADMIN, user=str(ANA)).token.user == "ana"
    for uid in (LIN, OPS):
        with pytest.raises(RoleError):
            make(keys, local(keys, uid), user="ana")
    with pytest.raises(UsageError, match="no user"):
        make(keys, ADMIN, user="nobody-here")  # prose: allow


def test_a_token_for_another_user_has_that_users_role_by_default(keys):
    assert make(keys, ADMIN, user="lin").token.role is Role.USER
    made = make(keys, ADMIN, user="lin", role=Role.OPERATOR)
    assert keys.bearer(made.secret, "10.0.0.1").role is Role.OPERATOR


def test_who_is_let_in_is_the_user_and_carries_the_token(keys):
    made = make(keys, local(keys, LIN))
    caller = keys.bearer(made.secret, "10.0.0.1")
    assert (caller.uid, caller.pid, caller.token) == (LIN, 0, made.token.id)
    assert caller.remote == "10.0.0.1"


def test_when_it_was_used_is_kept_coarsely(keys):
    made = make(keys, local(keys, LIN))
    first = keys.world.clock.now()
    keys.bearer(made.secret, "a")
    keys.world.clock.wall += timedelta(minutes=1)
    keys.bearer(made.secret, "a")
    assert [token.used for token in asyncio.run(keys.list(ADMIN))] == [first]
    keys.world.clock.wall += timedelta(minutes=10)
    keys.bearer(made.secret, "a")
    assert asyncio.run(keys.list(ADMIN))[0].used == keys.world.clock.now()


def test_a_role_that_its_maker_lost_is_lost(keys):
    made = make(keys, local(keys, OPS))
    assert keys.bearer(made.secret, "a").role is Role.OPERATOR
    users = keys.directory.users
    users["ops"] = replace(users["ops"], groups=frozenset())
    keys.elapsed.seconds += 31
    assert keys.bearer(made.secret, "a").role is Role.USER


def test_a_name_that_is_now_another_user_is_refused(keys):
    made = make(keys, local(keys, LIN))
    users = keys.directory.users
    users["lin"] = replace(users["lin"], name="new")
    keys.elapsed.seconds += 31
    with pytest.raises(UnauthenticatedError, match="no user"):
        keys.bearer(made.secret, "a")


def test_a_token_gives_away_what_it_has_and_not_longer(keys):
    first = make(keys, local(keys, LIN), scopes=(*WRITE, "gpus:read"), ttl=600)
    caller = keys.bearer(first.secret, "a")
    child = make(keys, caller, ttl=9999)
    assert (child.token.expires, child.token.scopes) == (first.token.expires, ("gpus:read",))
    with pytest.raises(RoleError, match="pass on"):
        make(keys, caller, scopes=("shares:write",))
    with pytest.raises(UsageError, match="scope"):
        make(keys, caller, scopes=("gpus:paint",))


def test_each_sees_and_revokes_ones_own(keys):
    mine, other = make(keys, local(keys, LIN)), make(keys, local(keys, ANA))
    assert asyncio.run(keys.list(local(keys, LIN))) == (mine.token,)
    assert len(asyncio.run(keys.list(ADMIN))) == 2
    with pytest.raises(NoSuchTokenError):
        asyncio.run(keys.revoke(other.token.id, local(keys, LIN)))
    assert asyncio.run(keys.revoke(other.token.id, ADMIN)) == other.token
    assert asyncio.run(keys.revoke(mine.token.id, local(keys, LIN))) == mine.token
    with pytest.raises(NoSuchTokenError):
        asyncio.run(keys.revoke(mine.token.id, local(keys, LIN)))


def test_a_token_may_end_itself_and_no_other(keys):
    mine, other = make(keys, local(keys, LIN)), make(keys, local(keys, LIN))
    caller = keys.bearer(mine.secret, "a")
    with pytest.raises(RoleError):
        asyncio.run(keys.revoke(other.token.id, caller))
    assert asyncio.run(keys.revoke(mine.token.id, caller)).id == mine.token.id


def test_what_was_revoked_while_its_request_was_under_way_makes_nothing(keys):
    made = make(keys, local(keys, LIN), scopes=WRITE)
    caller = keys.bearer(made.secret, "a")
    asyncio.run(keys.revoke(made.token.id, ADMIN))
    with pytest.raises(UnauthenticatedError):
        make(keys, caller)


def test_generations_end_together(keys):
    first = make(keys, local(keys, LIN), scopes=WRITE)
    second = make(keys, keys.bearer(first.secret, "a"), scopes=WRITE)
    third = make(keys, keys.bearer(second.secret, "a"), scopes=WRITE)
    apart = make(keys, local(keys, LIN))
    asyncio.run(keys.revoke(first.token.id, local(keys, LIN)))
    for made in (first, second, third):
        with pytest.raises(UnauthenticatedError):
            keys.bearer(made.secret, "a")
    assert keys.bearer(apart.secret, "a").uid == LIN


def test_there_is_an_end_to_the_tokens_of_one_user(keys):
    for _ in range(MOST):
        make(keys, local(keys, LIN), ttl=60)
    with pytest.raises(ConflictError):
        make(keys, local(keys, LIN))
    make(keys, local(keys, ANA))
    keys.world.clock.wall += timedelta(seconds=61)
    make(keys, local(keys, LIN))


def test_what_expired_long_ago_is_forgotten(keys):
    make(keys, local(keys, LIN), ttl=60)
    keys.world.clock.wall += timedelta(days=20)
    make(keys, local(keys, ANA))
    assert len(asyncio.run(keys.list(ADMIN))) == 2
    keys.world.clock.wall += timedelta(days=20)
    make(keys, local(keys, ANA))
    assert {token.uid for token in asyncio.run(keys.list(ADMIN))} == {ANA}


def test_secrets_are_kept_nowhere(keys, state):
    made = make(keys, local(keys, LIN))
    assert made.secret not in repr(made)
    word = made.secret.split("_", 2)[2].encode()
    assert len(word) == 43  # 256 bits in base64
    assert not [path for path in state.rglob("*") if word in path.read_bytes()]
    told = [event.message.encode() for event in keys.here.store.events.since(0)]
    assert told
    assert not [text for text in told if word in text]


def test_events_of_tokens_are_for_operators(keys):
    make(keys, local(keys, LIN))
    [event] = keys.here.store.events.since(0)
    visibility = keys.here.parts.visibility
    assert not list(visibility.heard([event], local(keys, LIN)))
    assert list(visibility.heard([event], local(keys, OPS)))


def exchange(keys, proof):
    return asyncio.run(keys.exchange(LoginRequest(proof=proof))).token


def test_a_login_is_the_account_of_its_name_for_some_hours(keys):
    token = exchange(keys, "lin")
    assert (token.uid, token.role) == (LIN, Role.USER)
    assert token.expires - token.created == timedelta(seconds=SESSION)
    assert exchange(keys, "lin operator").role is Role.OPERATOR
    assert exchange(keys, "ops").role is Role.OPERATOR
    assert exchange(keys, "eye").role is Role.VIEWER


@pytest.mark.parametrize("user", ["root", "sys", "0", "4001", "who", "lin\0", ""])
def test_a_login_is_never_root_nor_an_account_of_the_system(keys, user):
    with pytest.raises(UnauthenticatedError):
        exchange(keys, user)
