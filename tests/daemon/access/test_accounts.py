# SPDX-License-Identifier: Apache-2.0
"""A name service that does not answer delays no one but the user it is asked about."""

import asyncio
import threading

import pytest

from gpushare.daemon.access import accounts as module
from gpushare.daemon.access.accounts import FRESH_SECONDS, Account, Accounts
from gpushare.model.access.role import Role

KNOWN, HANGS = 4001, 4002


class Directory:
    """`HANGS` is not answered before `answer` is set."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answer = threading.Event()

    def by_uid(self, uid):
        self.asked.append(uid)
        if uid == HANGS:
            assert self.answer.wait(60)
        return Account(name=f"u{uid}", uid=uid, gid=uid, groups=frozenset({"ops"}))

    def by_name(self, name):
        return None


@pytest.fixture
def directory():
    found = Directory()
    yield found
    found.answer.set()


@pytest.fixture
def now():
    return [1000.0]


@pytest.fixture
def accounts(directory, now):
    return Accounts(0, directory, lambda: now[0], operators=("ops",))


def test_a_user_of_whom_nothing_is_known_yet_is_in_no_group(accounts, directory, monkeypatch):
    monkeypatch.setattr(module, "ASK_SECONDS", 0.01)

    async def story():
        await accounts.know(HANGS)
        assert accounts.role(HANGS) is Role.USER
        await accounts.know(KNOWN)
        assert accounts.role(KNOWN) is Role.OPERATOR
        # It is asked once, however many calls of the user wait.
        await asyncio.gather(*(accounts.know(HANGS) for _ in range(20)))
        assert directory.asked.count(HANGS) == 1

    asyncio.run(story())


def test_calls_of_others_go_on_meanwhile(accounts, directory):
    async def story():
        waits = asyncio.create_task(accounts.know(HANGS))
        while HANGS not in directory.asked:  # noqa: ASYNC110 (asked in another thread)
            await asyncio.sleep(0.001)
        await accounts.know(KNOWN)
        assert accounts.role(KNOWN) is Role.OPERATOR
        assert not waits.done()
        directory.answer.set()
        await waits
        assert accounts.role(HANGS) is Role.OPERATOR

    asyncio.run(story())


def test_what_was_known_counts_while_it_does_not_answer(accounts, directory, now, monkeypatch):
    async def story():
        directory.answer.set()
        await accounts.know(HANGS)
        directory.answer.clear()
        now[0] += FRESH_SECONDS
        monkeypatch.setattr(module, "ASK_SECONDS", 0.01)
        await accounts.know(HANGS)
        assert accounts.role(HANGS) is Role.OPERATOR

    asyncio.run(story())


def test_groups_can_change_while_the_daemon_runs(accounts):
    async def story():
        await accounts.know(KNOWN)
        assert accounts.role(KNOWN) is Role.OPERATOR
        accounts.put_groups((), ("ops",))
        assert accounts.role(KNOWN) is Role.VIEWER
        accounts.put_groups((), ())
        assert accounts.role(KNOWN) is Role.USER

    asyncio.run(story())
