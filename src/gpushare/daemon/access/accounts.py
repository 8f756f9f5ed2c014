# SPDX-License-Identifier: Apache-2.0
"""The users of this machine, and what they may do here."""

import asyncio
import grp
import os
import pwd
from collections.abc import Callable, Iterable
from typing import Protocol

from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.present.views import user_name
from gpushare.model.access.role import Role
from gpushare.model.errors import UnauthenticatedError, UsageError
from gpushare.model.units import is_number
from gpushare.model.value import Value

ASK_SECONDS = 2.0  # how long a call waits for the name service
MOST_KNOWN = 10_000  # accounts
FRESH_SECONDS = 30.0  # how long a change of groups may go unnoticed
FIRST_UID = 1000  # below are the system's own accounts (login.defs(5), UID_MIN)


class Account(Value):
    """`groups`: names of all groups of the user."""

    name: str
    uid: int
    gid: int
    groups: frozenset[str] = frozenset()


class AccountDirectory(Protocol):
    """Where users are looked up; None: there is no such user."""

    def by_uid(self, uid: int) -> Account | None:
        """The account of a uid."""
        ...

    def by_name(self, name: str) -> Account | None:
        """The account of a name."""
        ...


class Accounts:
    """`myself` is the uid the daemon works as: it and root are admins.

    `operators`, `viewers`: names of groups; a member of both is an operator. `elapsed` is a clock
    in seconds.
    """

    def __init__(
        self,
        myself: int,
        directory: AccountDirectory,
        elapsed: Callable[[], float],
        *,
        operators: Iterable[str] = (),
        viewers: Iterable[str] = (),
    ) -> None:
        self.myself = myself
        self._admins = {0, myself}
        self._directory, self._elapsed = directory, elapsed
        self.put_groups(operators, viewers)
        self._cache: dict[int, tuple[float, Account | None]] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    def put_groups(self, operators: Iterable[str], viewers: Iterable[str]) -> None:
        """Make members of these groups operators and viewers, from the next call on."""
        self._operators, self._viewers = frozenset(operators), frozenset(viewers)

    async def know(self, uid: int) -> None:
        """Ask the name service about a uid, before `role` and `by_uid` answer from memory.

        A name service that does not answer delays the calls of this user only, and those by
        `ASK_SECONDS`: then what was known of the uid counts, and a user who was not known is in no
        group.
        """
        if uid in self._admins or self._fresh(uid):
            return
        if uid not in self._asking:
            self._asking[uid] = task = asyncio.create_task(self._ask(uid))
            task.add_done_callback(lambda _: self._asking.pop(uid, None))
        await asyncio.wait([self._asking[uid]], timeout=ASK_SECONDS)
        self._cache.setdefault(uid, (self._elapsed(), None))

    async def _ask(self, uid: int) -> None:
        self._remember(uid, await in_own_thread(self._directory.by_uid, uid))
        # The name too: views show it, and `user_name` then answers from memory.
        await in_own_thread(user_name, uid)

    def _fresh(self, uid: int) -> bool:
        return uid in self._cache and self._elapsed() - self._cache[uid][0] < FRESH_SECONDS

    def _remember(self, uid: int, account: Account | None) -> None:
        self._cache.pop(uid, None)
        self._cache[uid] = self._elapsed(), account
        while len(self._cache) > MOST_KNOWN:
            del self._cache[next(iter(self._cache))]

    def role(self, uid: int) -> Role:
        """The role on this machine, by uid first and then by group; groups may be 30 s old."""
        if uid in self._admins:
            return Role.ADMIN
        # Without groups to look for there is no need to ask the name service, which may be on the
        # network.
        if not self._operators | self._viewers:
            return Role.USER
        account = self.by_uid(uid)
        groups = account.groups if account else frozenset()
        if groups & self._operators:
            return Role.OPERATOR
        return Role.VIEWER if groups & self._viewers else Role.USER

    def by_uid(self, uid: int) -> Account | None:
        """None: there is no such user. Remembered for 30 s, because a name service may be slow."""
        if uid in self._asking:
            return self._cache[uid][1] if uid in self._cache else None
        if not self._fresh(uid):
            self._remember(uid, self._directory.by_uid(uid))
        return self._cache[uid][1]

    def of(self, uid: int) -> Account:
        """The account of a uid; without one, an account that is named by the uid."""
        return self.by_uid(uid) or Account(name=str(uid), uid=uid, gid=uid)

    def outsider(self, user: str) -> Account:
        """The account for a name from an OpenID Connect issuer; raises UnauthenticatedError.

        Never a system account: a user who can choose their name elsewhere must not become root.
        """
        account = self._directory.by_name(user)
        if account is None or account.uid in self._admins or account.uid < FIRST_UID:
            raise UnauthenticatedError(
                f"{user!r} has no account on this machine",
                "a login acts as the account of the same name",
                "ask the administrator of this machine for an account",
            )
        return account

    def named(self, user: str) -> Account:
        """By name, or by uid in digits; raises UsageError."""
        account = self._directory.by_name(user)
        if account is None and is_number(user):
            account = self.by_uid(int(user))
        if account is None:
            raise UsageError(
                f"no user {user!r}", "this machine has no such account", "getent passwd"
            )
        return account


class SystemDirectory:
    """Implements Accounts by the machine's name service."""

    def by_uid(self, uid: int) -> Account | None:
        try:
            return _account(pwd.getpwuid(uid))
        except (KeyError, OverflowError):
            return None

    def by_name(self, name: str) -> Account | None:
        try:
            return _account(pwd.getpwnam(name))
        except (KeyError, ValueError):
            return None


def _account(entry: pwd.struct_passwd) -> Account:
    gids = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return Account(
        name=entry.pw_name,
        uid=entry.pw_uid,
        gid=entry.pw_gid,
        groups=frozenset(name for gid in gids if (name := _group(gid))),
    )


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
