# SPDX-License-Identifier: Apache-2.0
"""Where everything is put together, started and stopped."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import closing, suppress

import structlog

from gpushare.api import build
from gpushare.config.settings import Settings
from gpushare.daemon.access.access import Access
from gpushare.daemon.access.tokens import keys_of
from gpushare.daemon.acts.executor import Step
from gpushare.daemon.audit.writer import AuditWriter, writer
from gpushare.daemon.base.systemd import Notifier
from gpushare.daemon.loop.core import Core
from gpushare.daemon.services.service import DaemonService
from gpushare.model.errors import GpushareError
from gpushare.store import Store

from .base import logs, paths
from .host_wiring import host_ports
from .listeners import Listeners, rules

_XID_SECONDS = 1.0
_TURN_SECONDS = 0.25
_log = structlog.get_logger()


def serve(settings: Settings, step: Step = lambda _: None) -> None:
    """Run the daemon until SIGTERM or SIGINT; shares and their programs go on without it.

    `step` is told each point at which a crash may happen.
    """
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings, step))


async def _serve(settings: Settings, step: Step) -> None:
    with closing(Store(settings.state_dir)) as store:
        core = Core(store, host_ports(settings, store), step, turn_seconds=settings.turn_seconds)
        audit = writer(settings, core)
        audit.start(settings)
        try:
            await _run(settings, core, audit)
        finally:
            core.members.close()
            audit.stop()


async def _run(settings: Settings, core: Core, audit: AuditWriter) -> None:
    access = Access(operator=paths.myself())
    service = DaemonService(core, access, keys_of(core, access, settings), audit)
    app = build(service, audit, rules(settings))
    stopping = asyncio.Event()
    _on_signals(stopping.set)
    await core.reconcile()
    doors = Listeners(app, settings, shared=access.operator == 0)
    notifier = Notifier.from_environment()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(doors.serve())
        loops = [
            tasks.create_task(_reconcile(core, audit, settings.reconcile_interval)),
            tasks.create_task(notifier.beat()),
            tasks.create_task(_watch_xids(core)),
            tasks.create_task(_take_turns(core)),
        ]
        notifier.send("READY=1")
        _log.info("daemon.ready", socket=str(settings.socket))
        await stopping.wait()
        notifier.send("STOPPING=1")
        core.bus.close()
        doors.stop()
        await serving
        for loop in loops:
            loop.cancel()
    _log.info("daemon.stopped")


async def _reconcile(core: Core, audit: AuditWriter, interval: float) -> None:
    while True:
        await core.reconciler.rest(interval)
        await core.reconcile()
        audit.settle()


async def _watch_xids(core: Core) -> None:
    """Critical errors as the driver reports them; a driver that fails is the loop's to tell."""
    while True:
        try:
            await core.reconciler.hear_xids(_XID_SECONDS)
        except GpushareError as error:
            _log.debug("xids.unseen", error=str(error))
            await asyncio.sleep(_XID_SECONDS)


async def _take_turns(core: Core) -> None:
    while True:
        await asyncio.sleep(_TURN_SECONDS)
        try:
            await core.take_turns()
        except GpushareError as error:
            _log.warning("turns.failed", error=str(error))


def _on_signals(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with suppress(ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
