# SPDX-License-Identifier: Apache-2.0
"""No tenant keeps others from the daemon: what waits for its programs is an act of its share only.

Programs that never answer hold their acts until the test lets them go, so these tests wait for no
time: what another user does meanwhile must end while the act is in progress.
"""

import ast
import asyncio
import inspect
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog

import gpushare.daemon
from gpushare.daemon.acts.executor import Executor
from gpushare.daemon.acts.in_progress import ActsInProgress
from gpushare.daemon.acts.transitions import Transitions
from gpushare.daemon.loop.reconcile import Reconciler
from gpushare.daemon.placement.placement import PlacementService
from gpushare.daemon.placement.reclaimer import Reclaimer
from gpushare.model.errors import ConflictError, GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.share import ProcessRef, State
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import (
    CreateRequest,
    EnterRequest,
    MigrateRequest,
    ResumeRequest,
    SuspendRequest,
    UpdateRequest,
)
from support.world.session import ME, live, session
from support.world.world import Crash, crash_at, make_world

LONG = 3600


@pytest.fixture(autouse=True)
def plain_log():
    """Tracebacks with colours and values take seconds each."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    yield
    structlog.reset_defaults()


class Silent:
    """A call of a tenant's share that does not return before `answer`."""

    def __init__(self, call: Callable, of: Callable[..., bool]) -> None:
        self._call, self._of = call, of
        self.asked, self._answer = threading.Event(), threading.Event()

    def __call__(self, *args, **kwargs):
        if self._of(*args) and not self._answer.is_set():
            self.asked.set()
            assert self._answer.wait(60), "the test never let it go"
        return self._call(*args, **kwargs)

    def answer(self) -> None:
        self._answer.set()


def silence(daemon, monkeypatch, name: str) -> Silent:
    """The mechanisms' act `name` on the share `slow` does not return."""
    mechanisms = daemon.parts.ports.mechanisms
    silent = Silent(getattr(mechanisms, name), lambda share, *_: share.name == "slow")
    monkeypatch.setattr(mechanisms, name, silent)
    return silent


async def asked(world, share: str) -> None:
    """Its programs have been asked to leave the GPU."""
    while not world.regions.away(share):  # noqa: ASYNC110 (the world has no events)
        await asyncio.sleep(0.001)


@asynccontextmanager
async def in_progress(daemon, silent: Silent, call: Awaitable):
    task = asyncio.ensure_future(call)
    try:
        assert await asyncio.to_thread(silent.asked.wait, 30)
        yield
        assert not task.done()
    finally:
        silent.answer()
        await passes_until(daemon, task.done)
        task.exception()


async def passes_until(daemon, done: Callable[[], bool]) -> None:
    """As the daemon's loop makes them; programs obey the signals they get."""
    while not done():
        for pid, _ in daemon.world.signals:
            if pid in daemon.world.living():
                daemon.world.end(ProcessRef(pid=pid, started=pid))
        await daemon.core.reconcile()
        await asyncio.sleep(0.001)


async def others_go_on(daemon, gpu: str = "0") -> None:
    """Another user's share is made, entered, shown and ended, with the passes that this takes."""
    service, process = daemon.service, daemon.world.spawn()
    spec = ShareSpec(memory=MemoryAsk(limit=4 * GIB), name="other", gpu=(gpu,))
    share = await service.create(CreateRequest(spec=spec, holder=process.pid), ME)
    assert share.state is State.GRANTED
    await service.enter(share.id, EnterRequest(pid=process.pid), ME)
    assert (await service.show(share.id, ME)).state is State.RUNNING
    assert len(await service.shares(ME)) == 2
    daemon.world.end(process)
    await passes_until(daemon, lambda: daemon.store.shares.get(share.id).state.ended)


ACTS = {
    "suspend": ("suspend", lambda s: s.suspend("slow", SuspendRequest(timeout=LONG), ME)),
    "resume": ("resume", lambda s: s.resume("slow", ResumeRequest(timeout=LONG), ME)),
    "migrate": ("move", lambda s: s.migrate("slow", MigrateRequest(timeout=LONG), ME)),
    "update": ("adjust", lambda s: s.update("slow", UpdateRequest(priority="low"), ME)),
    "remove": ("release", lambda s: s.remove("slow", ME)),
    "end by force": ("drain", lambda s: s.remove("slow", ME, force=True)),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_act_that_does_not_end_delays_no_other_user(tmp_path, monkeypatch, act):
    world = make_world(tmp_path / "world", gpus=2)
    name, call = ACTS[act]

    async def story(daemon):
        make = daemon.create if act == "remove" else daemon.run
        await make(8, name="slow", **({} if act == "migrate" else {"gpu": ("0",)}))
        if act == "resume":
            await daemon.service.suspend("slow", SuspendRequest(), ME)
        silent = silence(daemon, monkeypatch, name)
        async with in_progress(daemon, silent, call(daemon.service)):
            # What works on the files of one GPU waits for what does so already; a migration
            # works on both.
            if act != "migrate":
                await others_go_on(daemon, gpu="1")
            else:
                await daemon.core.reconcile()
                assert len(await daemon.service.shares(ME)) == 1

    live(world, tmp_path / "state", story)
    world.close()


def test_a_program_that_never_answers_delays_no_other_user(world, state):
    world.regions.stuck, world.regions.pause = True, 0.0

    async def story(daemon):
        share, process = await daemon.run(8, name="slow")
        task = asyncio.ensure_future(
            daemon.service.suspend("slow", SuspendRequest(timeout=LONG), ME)
        )
        await asked(world, share.id)
        await others_go_on(daemon)
        with pytest.raises(ConflictError, match="have not answered"):
            await daemon.service.suspend("slow", SuspendRequest(), ME)
        with pytest.raises(ConflictError, match="have not answered"):
            await daemon.service.enter("slow", EnterRequest(pid=world.spawn().pid), ME)
        removal = asyncio.ensure_future(daemon.service.remove("slow", ME, force=True))
        await passes_until(daemon, removal.done)
        assert removal.result().state is State.RELEASED
        assert task.done()
        assert (process.pid, signal.SIGTERM) in world.signals

    live(world, state, story)


def test_the_time_of_a_share_ends_while_it_is_being_suspended(world, state):
    world.regions.stuck, world.regions.pause = True, 0.0

    async def story(daemon):
        share, process = await daemon.run(8, name="slow", ttl=60)
        task = asyncio.ensure_future(
            daemon.service.suspend("slow", SuspendRequest(timeout=LONG), ME)
        )
        await asked(world, share.id)
        await daemon.tick(61)
        assert world.signals[0][0] == process.pid
        with pytest.raises(GpushareError):
            await task
        world.end(process)
        await daemon.tick()
        assert await daemon.state(share.id) == State.RELEASED

    live(world, state, story)


def test_a_daemon_killed_while_it_waits_for_programs_undoes_the_suspension(world, state):
    world.regions.stuck, world.regions.pause = True, 0.0

    async def life() -> str:
        with session(world, state) as daemon:
            await daemon.reconcile()
            share, _ = await daemon.run(8, name="slow")
            call = daemon.service.suspend("slow", SuspendRequest(timeout=LONG), ME)
            task = asyncio.ensure_future(call)
            await asked(world, share.id)
            assert not task.done()
            return share.id

    share = asyncio.run(life())
    world.regions.stuck = False

    async def after(daemon):
        await daemon.settled()
        assert await daemon.state(share) == State.RUNNING
        assert not world.regions.away(share)
        assert daemon.store.intents.pending() == []

    live(world, state, after)


@pytest.mark.parametrize(
    "decides",
    [
        PlacementService.advance,
        Reclaimer.take,
        Reclaimer.give_back,
        Executor.grant,
        Executor.adjust,
        Executor.release,
        Executor.recover,
        Transitions.suspend,
        Transitions.resume,
        Transitions.migrate,
        Reconciler.run,
    ],
)
def test_what_decides_waits_for_nothing(decides):
    """A plain function cannot be interrupted; a pass is the one thing that looks first."""
    assert inspect.iscoroutinefunction(decides) == (decides is Reconciler.run)


def test_an_act_that_is_given_up_before_it_began_awaits_nothing():
    """As when the daemon ends in the round of its loop in which it granted a share."""

    async def work() -> None:
        raise AssertionError("it was given up")

    async def life() -> None:
        acts, act = ActsInProgress(asyncio.Event()), work()
        acts.begin([ShareId("job")], "granted", act)
        acts.close()
        await acts.settled()
        assert inspect.getcoroutinestate(act) == inspect.CORO_CLOSED

    asyncio.run(life())


def test_only_acts_on_the_same_gpu_wait_for_each_other():
    """A lock for all would let the slowest tenant decide how fast the daemon is."""
    folder = Path(gpushare.daemon.__file__).parent
    locks = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("asyncio", "Lock"), ("asyncio", "Semaphore")}
    }
    # The others keep the keys of a login service from being fetched twice, and rules of devices in
    # the order in which they were decided.
    assert locks == {"acts/in_progress.py", "access/oidc.py", "acts/peers.py"}


TROUBLES = [
    ValueError("invalid literal for int() with base 10: 'abc'"),
    OSError(24, "Too many open files"),
    OverflowError("date value out of range"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RuntimeError("no code expected this"),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("call", ["observe", "release", "adjust", "resume"])
def test_one_share_s_trouble_of_any_type_stays_with_it(world, state, monkeypatch, trouble, call):
    async def story(daemon):
        slow, _ = await daemon.run(8, name="slow")
        _, process = await daemon.run(8, name="good")
        mechanisms = daemon.parts.ports.mechanisms
        works = getattr(mechanisms, call)

        def fails(share, *args):
            if share.name == "slow":
                raise type(trouble)(*trouble.args)
            return works(share, *args)

        monkeypatch.setattr(mechanisms, call, fails)
        for act in (
            lambda: daemon.service.suspend("slow", SuspendRequest(), ME),
            lambda: daemon.service.update("slow", UpdateRequest(priority="low"), ME),
        ):
            with suppress(GpushareError):
                await act()
        daemon.parts.termination.stop(daemon.store.shares.get(slow.id), "removed")
        world.end(process)
        await daemon.tick(times=2)
        assert await daemon.state("good") == State.RELEASED
        assert (await daemon.create(8, name="next")).state is State.GRANTED

    live(world, state, story)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda it: type(it).__name__)
def test_a_daemon_starts_with_a_share_that_cannot_be_recovered(world, state, monkeypatch, trouble):
    async def life() -> None:
        with session(world, state, crash_at("release acted")) as daemon:
            await daemon.reconcile()
            await daemon.create(8, name="broken")
            await daemon.service.remove("broken", ME)

    with pytest.raises(Crash):
        asyncio.run(life())

    def fails() -> None:
        raise type(trouble)(*trouble.args)

    async def after() -> None:
        with session(world, state) as daemon:
            world.trouble = fails
            await daemon.core.reconcile()
            await daemon.parts.acts.settled()
            world.trouble = lambda: None
            assert (await daemon.create(8, name="next")).state is State.GRANTED
            await daemon.tick()
            assert daemon.store.intents.pending() == []

    asyncio.run(after())


def test_a_share_whose_record_cannot_be_read_keeps_none_from_its_pass(world, state, monkeypatch):
    async def story(daemon):
        share, _ = await daemon.run(8, name="slow")
        _, process = await daemon.run(8, name="good")
        get = daemon.store.shares.get

        def broken(ref):
            if ref == share.id:
                raise ValueError("Object contains unknown field `x`")
            return get(ref)

        monkeypatch.setattr(daemon.store.shares, "get", broken)
        world.end(process)
        await daemon.tick(times=2)
        assert await daemon.state("good") == State.RELEASED

    live(world, state, story)


def test_a_list_of_shares_does_not_wait_for_one_that_cannot_be_observed(world, state, monkeypatch):
    async def story(daemon):
        await daemon.run(8, name="slow")
        world.clock.pass_by(5)
        silent = silence(daemon, monkeypatch, "observe")
        views = await daemon.service.shares(ME)
        assert silent.asked.is_set()
        assert [view.name for view in views] == ["slow"]
        silent.answer()

    live(world, state, story)
