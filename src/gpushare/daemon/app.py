# SPDX-License-Identifier: Apache-2.0
"""Starts one daemon, runs its loops, and stops it."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

import structlog

from gpushare.api import FilterSettings, build
from gpushare.config.settings import Settings
from gpushare.daemon.access.access import Access
from gpushare.daemon.acts.executor import Step
from gpushare.daemon.audit.writer import AuditWriter
from gpushare.daemon.base.systemd import Notifier
from gpushare.hardware.simulated.presence import ended, machine_folder
from gpushare.model.errors import GpushareError, NoGpuError, StateError
from gpushare.model.operations.lifetime import Lifetime, UntilIdle
from gpushare.store import Store

from .base import descriptors, logs, paths
from .base.live_settings import LiveSettings, Reread, no_files
from .compose import Parts, audit_path
from .host_wiring import boot_id, host_ports
from .listeners import Listeners, apply_rules, rules
from .services.backups import restored_message

_XID_SECONDS = 1.0  # of one wait: the daemon's end waits for it
# Between passes, so that a turn of some seconds does not end a whole interval late; and how often
# it is looked whether shares take turns by now.
_TURN_SECONDS, _NO_TURNS_SECONDS = 0.25, 1.0
_MACHINE_SECONDS = 1.0  # between two looks at whether a simulated machine lives
_LAST_SECONDS = 20.0  # for the programs on one that has ended
_log = structlog.get_logger()


def serve(
    settings: Settings,
    step: Step = lambda _: None,
    *,
    reread: Reread | None = None,
    accept_loss: bool = False,
    until_idle: UntilIdle | None = None,
) -> None:
    """Run the daemon until SIGTERM or SIGINT; shares and their programs continue without it.

    `step` is called at each point where a crash may happen. `reread` reads the configuration again.
    `accept_loss`: see `Store`. `until_idle`: end when idle too.
    """
    logs.configure(settings.log_level, settings.log_format)
    descriptors.raise_limit()
    work = _serve(
        settings, step, reread or no_files, accept_loss=accept_loss, until_idle=until_idle
    )
    asyncio.run(work)


async def _serve(
    settings: Settings,
    step: Step,
    reread: Reread,
    *,
    accept_loss: bool,
    until_idle: UntilIdle | None,
) -> None:
    opened = Store(
        settings.state_dir,
        boot=boot_id(),
        accept_loss=accept_loss,
        runtime=paths.runtime_folder(settings.runtime_dir),
        audit=audit_path(settings),
    )
    with closing(opened) as store:
        parts = Parts(
            store,
            host_ports(settings, store),
            Access(operator=paths.myself()),
            settings,
            step=step,
            reread=reread,
        )
        if until_idle:
            parts.lifetime.end_when_idle(until_idle)
        audit = parts.audit_writer
        assert audit is not None
        # Before the first pass, so that what it does is recorded.
        missed = store.events.since(store.audited.event) if store.audited else ()
        parts.start_comparison.add(audit.start(settings, boot_id(), missed))
        if (note := store.restored) is not None:
            parts.bus.publish("state.restored", restored_message(note))
            store.forget_restore()
        for loss in store.losses:
            parts.bus.publish("state.lost", loss)
        parts.start_comparison.add(store.losses)
        try:
            await _run(settings, parts, audit)
        finally:
            parts.acts.close()
            parts.processes.close()
            audit.stop()


async def _run(settings: Settings, parts: Parts, audit: AuditWriter) -> None:
    live = parts.live
    assert live is not None
    limits = rules(settings)
    app = build(parts.service, audit, limits)
    _follow(live, limits, parts)
    parts.ports.mechanisms.released = parts.scrubber.released
    stopping = asyncio.Event()
    _on_signals(stopping.set, partial(_reload, parts))
    await parts.start_comparison.run()
    await parts.core.reconcile()
    await parts.leftovers.report_unknown()
    if parts.lifetime.now is not Lifetime.UNTIL_STOPPED:
        await _require_gpu(parts)
    # Modules and settings live as long as the process: without this each full collection of
    # garbage goes through them, and requests wait for it.
    gc.collect()
    gc.freeze()
    # After the first pass: no caller meets a share with an act that a crash cut short.
    listeners = Listeners(
        app,
        settings,
        shared=parts.access.operator == 0,
        announce=parts.store.announce,
    )
    notifier = Notifier.from_environment()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(listeners.serve())
        loops = [
            tasks.create_task(_reconcile(parts, audit, live)),
            tasks.create_task(notifier.beat()),
            tasks.create_task(_watch_xids(parts)),
            tasks.create_task(_take_turns(parts)),
            tasks.create_task(_watch_machine(parts, stopping)),
            tasks.create_task(_end_when_idle(parts, listeners, stopping)),
        ]
        # The sockets listen by now, so a unit that systemd starts after this one can connect.
        notifier.send("READY=1")
        _log.info("daemon.ready", socket=str(settings.socket))
        await stopping.wait()
        notifier.send("STOPPING=1")
        parts.bus.close()
        listeners.stop()
        await serving
        for loop in loops:
            loop.cancel()
    _log.info("daemon.stopped")


def _follow(live: LiveSettings, limits: FilterSettings, parts: Parts) -> None:
    """Tell those of a reload who do not read the settings each time."""
    live.follow(lambda new: logs.configure(new.log_level, new.log_format))
    live.follow(lambda new: apply_rules(new, limits))
    # The pass that is due may be due earlier now.
    live.follow(lambda _: parts.wake.set())


def _reload(parts: Parts) -> None:
    """For SIGHUP: the event says what came of it."""
    with suppress(GpushareError):
        parts.reloading.reload("SIGHUP")


async def _reconcile(parts: Parts, audit: AuditWriter, live: LiveSettings) -> None:
    while True:
        await parts.rest.rest(live.now.reconcile_interval)
        await parts.core.reconcile()
        audit.settle()
        with suppress(StateError):  # the disk is full; the next pass tries again
            parts.store.settle(parts.ports.clock.elapsed())


async def _watch_xids(parts: Parts) -> None:
    """Critical errors as the driver reports them; the loop reports a driver that fails."""
    while True:
        try:
            await parts.faults.hear_xids(_XID_SECONDS)
        except GpushareError as error:
            _log.debug("xids.unseen", error=str(error))
            await asyncio.sleep(_XID_SECONDS)


async def _take_turns(parts: Parts) -> None:
    while True:
        crowded = parts.memory_turns.crowded()
        await asyncio.sleep(_TURN_SECONDS if crowded else _NO_TURNS_SECONDS)
        try:
            await parts.core.take_turns()
        except GpushareError as error:
            _log.warning("turns.failed", error=str(error))


async def _watch_machine(parts: Parts, stopping: asyncio.Event) -> None:
    """End with a simulated machine, shares and programs included: nothing is left to run on."""
    folder = machine_folder(os.environ)
    if folder is None:
        return
    while True:
        await asyncio.sleep(_MACHINE_SECONDS)
        if ended(folder):
            break
    _log.warning("daemon.machine_ended", folder=str(folder))
    deadline = asyncio.get_running_loop().time() + _LAST_SECONDS
    while (living := parts.store.shares.living()) and not _passed(deadline):
        for share in living:
            parts.termination.stop(share, "the simulated machine has ended")
        await asyncio.sleep(_MACHINE_SECONDS)
    stopping.set()


async def _require_gpu(parts: Parts) -> None:
    """A daemon that a command started is of no use without a GPU. Raises HardwareError.

    Shares that live are served nevertheless: their GPU may come back.
    """
    if parts.store.shares.living():
        return
    await parts.machine.refresh()
    if not parts.machine.latest.gpus:
        raise NoGpuError(
            "this machine has no GPU", hint="try one: gpushare simulate h200-1 -- bash"
        )


async def _end_when_idle(parts: Parts, listeners: Listeners, stopping: asyncio.Event) -> None:
    if parts.lifetime.now is Lifetime.UNTIL_STOPPED:
        return
    await parts.idle_end.wait(listeners)
    _log.info("daemon.idle", lifetime=parts.lifetime.now)
    stopping.set()


def _passed(deadline: float) -> bool:
    return asyncio.get_running_loop().time() >= deadline


def _on_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    # A program that starts a daemon may have blocked them, and a blocked signal is inherited.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
