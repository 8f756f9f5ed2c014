# SPDX-License-Identifier: Apache-2.0
"""systemd hears that the daemon is alive, also while a pass takes long."""

import asyncio
import socket

import pytest

from gpushare.daemon.base.systemd import Notifier


@pytest.fixture
def systemd(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        yield listener


def beats(notifier: Notifier, seconds: float) -> None:
    async def life() -> None:
        async with asyncio.timeout(seconds):
            await notifier.beat()

    asyncio.run(life())


def test_it_is_notified_often_enough(systemd):
    with pytest.raises(TimeoutError):
        beats(Notifier(systemd.getsockname(), "60000"), 0.15)
    assert [systemd.recv(64) for _ in range(3)] == [b"WATCHDOG=1"] * 3


def test_nothing_is_sent_without_a_watchdog(systemd):
    beats(Notifier(systemd.getsockname()), 10)
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(64)


def test_one_who_does_not_listen_does_not_stop_the_daemon(systemd):
    with pytest.raises(TimeoutError):
        beats(Notifier(systemd.getsockname(), "3000"), 1.5)
