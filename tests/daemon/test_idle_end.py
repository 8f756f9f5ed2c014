# SPDX-License-Identifier: Apache-2.0
"""A daemon that a command has started ends when idle, and makes room for the machine's."""

import socket
from datetime import timedelta
from pathlib import Path

import pytest

from gpushare.daemon.idle_end import IdleEnd
from gpushare.model.errors import DaemonLeavingError
from gpushare.model.operations.lifetime import Lifetime, UntilIdle
from gpushare.model.spec import ShareSpec
from support.world.session import ME, DaemonSession, live

PATIENCE = 300


class Clients:
    requests, connected = 0, False


class Watched:
    """A daemon that ends when idle; `machine` is where the machine's would listen."""

    def __init__(self, daemon: DaemonSession, machine: Path | None = None) -> None:
        self.daemon, self.clients = daemon, Clients()
        parts = daemon.parts
        parts.lifetime.end_when_idle(UntilIdle(machine=machine))
        self.end = IdleEnd(
            parts.store,
            parts.bus,
            parts.ports.clock,
            lifetime=parts.lifetime,
            executor=parts.executor,
            patience=lambda: PATIENCE,
        )

    def over(self, seconds: float = 0) -> bool:
        self.daemon.world.clock.pass_by(seconds)
        return self.end.over(self.clients)


def machines(folder: Path) -> tuple[Path, socket.socket]:
    """The machine's daemon."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "machine"))
    listener.listen()
    return folder / "machine", listener


def test_it_ends_when_no_client_has_come_for_a_time(world, state):
    async def story(daemon):
        watched = Watched(daemon)
        assert not watched.over(PATIENCE - 1)
        assert watched.over(1)

    live(world, state, story)


def test_each_request_begins_the_time_again(world, state):
    async def story(daemon):
        watched = Watched(daemon)
        watched.clients.requests += 1
        assert not watched.over(PATIENCE - 1)
        watched.clients.requests += 1
        assert not watched.over(1)
        assert not watched.over(PATIENCE - 1)
        assert watched.over(1)

    live(world, state, story)


def test_a_client_that_stays_connected_keeps_it(world, state):
    async def story(daemon):
        watched = Watched(daemon)
        watched.clients.connected = True
        assert not watched.over(PATIENCE * 10)
        watched.clients.connected = False
        assert not watched.over(PATIENCE - 1)
        assert watched.over(1)

    live(world, state, story)


@pytest.mark.parametrize("kind", ["granted", "running", "queued", "reserved"])
def test_it_never_ends_while_a_share_lives(world, state, kind):
    async def story(daemon):
        watched = Watched(daemon)
        program = None
        if kind == "running":
            share, program = await daemon.run(8)
        elif kind == "queued":
            await daemon.create(None)
            share = await daemon.create(None)
        else:
            at = daemon.world.clock.now() + timedelta(days=2) if kind == "reserved" else None
            share = await daemon.create(8, at=at, ttl=60 if at else None)
        assert share.state == ("queued" if kind == "reserved" else kind)
        for _ in range(3):
            assert not watched.over(PATIENCE * 10)
        if program:
            daemon.world.end(program)
            await daemon.tick(0)
        for one in await daemon.service.shares(ME):
            await daemon.service.remove(one.id, ME, force=True)
        assert not watched.over(PATIENCE - 1)
        assert watched.over(1)

    live(world, state, story)


def test_without_its_lifetime_a_daemon_stays(world, state):
    async def story(daemon):
        assert daemon.parts.lifetime.now is Lifetime.UNTIL_STOPPED
        assert (await daemon.service.version(ME)).lifetime is Lifetime.UNTIL_STOPPED

    live(world, state, story)


def test_it_leaves_when_the_machines_daemon_has_come(world, state, short_path):
    async def story(daemon):
        watched = Watched(daemon, short_path / "machine")
        kept, program = await daemon.run(70)
        waiting = await daemon.create(70)
        assert not watched.over(1)

        with machines(short_path)[1]:
            assert not watched.over(1)
        assert (await daemon.service.version(ME)).lifetime is Lifetime.LEAVING
        assert await daemon.state(waiting.id) == "failed"
        assert "machine" in (await daemon.show(waiting.id)).reason
        for refused in (daemon.create(1), daemon.service.plan(ShareSpec(), ME)):
            with pytest.raises(DaemonLeavingError, match="machine"):
                await refused

        assert await daemon.state(kept.id) == "running"
        assert not watched.over(PATIENCE * 10)
        daemon.world.end(program)
        await daemon.tick()
        # Clients cannot keep it: others have to be asked.
        watched.clients.connected = True
        assert watched.over()

    live(world, state, story)


def test_it_says_once_that_it_leaves(world, state, short_path):
    async def story(daemon):
        watched = Watched(daemon, short_path / "machine")
        await daemon.run(8)
        with machines(short_path)[1]:
            for _ in range(3):
                watched.over(1)
        kinds = [event.type for event in daemon.store.events.since(0)]
        assert kinds.count("daemon.leaving") == 1

    live(world, state, story)


def test_a_socket_without_a_daemon_moves_none(world, state, short_path):
    async def story(daemon):
        watched = Watched(daemon, short_path / "machine")
        machines(short_path)[1].close()
        watched.over(1)
        assert daemon.parts.lifetime.now is Lifetime.UNTIL_IDLE

    live(world, state, story)
