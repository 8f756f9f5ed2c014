# SPDX-License-Identifier: Apache-2.0
"""`gpushare daemon`: run the daemon in the foreground or background; its status; stop it."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import config, local_client
from gpushare.cli._options import output_option
from gpushare.config.announced import holder_of, socket_of
from gpushare.config.settings import LogFormat, LogLevel
from gpushare.model.errors import (
    DaemonError,
    DaemonRunningError,
    DeniedError,
    GpushareError,
    WaitTimeoutError,
)
from gpushare.model.operations.lifetime import Lifetime, UntilIdle
from gpushare.model.version import install_again
from gpushare.session.printed_error import error_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpushare.cli._format.output import Output
    from gpushare.client import Client
    from gpushare.config.settings import Settings
    from gpushare.config.sources import Config
    from gpushare.model.view import VersionView

_LIFETIMES = {
    Lifetime.UNTIL_IDLE: "started by gpushare run, ends when idle",
    Lifetime.LEAVING: "ends with its last share: another daemon serves the machine",
}
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_TAIL_CHARACTERS = 2000  # end of the log that an error quotes


@click.group(invoke_without_command=True)
@click.option("--socket", type=click.Path(), help="Listen on this unix socket.")
@click.option("--listen", metavar="HOST:PORT", help="Listen for remote callers too.")
@click.option("--state-dir", type=click.Path(), help="Store state.db in this directory.")
@click.option(
    "--runtime-dir", type=click.Path(), help="Store regions and MPS pipes in this directory."
)
@click.option(
    "--log-level",
    type=click.Choice([*map(str, LogLevel)]),
    help="Minimum severity of log messages.",
)
@click.option(
    "--log-format", type=click.Choice([*map(str, LogFormat)]), help="Format of log messages."
)
@click.option("--reconcile-interval", metavar="SECONDS", help="Seconds between reconcile passes.")
@click.option(
    "--mps-protocol", metavar="N", help="Protocol of MPS daemons: 2, or 3 (driver 615 and newer)."
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Start although the state file has lost changes or rows (GS1601, GS1605).",
)
@click.option(
    "-d", "--detach", is_flag=True, help="Run in the background; return when the daemon answers."
)
@click.option(
    "--until-idle", is_flag=True, help="End when idle, as the daemon that `gpushare run` starts."
)
@click.pass_context
def daemon(
    context: click.Context,
    /,
    *,
    detach: bool,
    accept_loss: bool,
    until_idle: bool,
    **flags: object,
) -> None:
    """Run the daemon that manages shares of this machine's GPUs, until SIGTERM or Ctrl-C.

    \b
    gpushare daemon                    # in the foreground, log on stderr
    gpushare daemon --detach           # in the background
    gpushare daemon status
    gpushare daemon reload             # after a change of its configuration
    gpushare daemon stop

    As root, the daemon serves all users of the machine, otherwise only you. Shares and their
    programs continue while no daemon runs; the next daemon finds them. A daemon that `gpushare run`
    has started ends when idle, this one does not.
    """
    if context.invoked_subcommand:
        return
    configuration = config(flags)
    for warning in configuration.warnings:
        click.echo(f"gpushare: warning: {warning}", err=True)
    if detach:
        own = [
            f"--{name}"
            for name, on in (("accept-loss", accept_loss), ("until-idle", until_idle))
            if on
        ]
        _detach(configuration, own)
    else:
        _serve(
            configuration, partial(config, flags), accept_loss=accept_loss, until_idle=until_idle
        )


@daemon.command()
@output_option
def status(*, output: "Output") -> None:
    """Show whether a daemon answers. Exit code 6 if none does."""
    daemon = local_client()
    version = daemon.version()
    lines = [f"pid      {version.pid}", f"version  {version.version}", f"socket   {daemon.where}"]
    if version.lifetime is not Lifetime.UNTIL_STOPPED:
        lines += [f"lifetime {_LIFETIMES[version.lifetime]}"]
    lines += [f"notice   {notice}" for notice in version.notices]
    output.item(version, str(version.pid), lambda: "\n".join(lines))


@daemon.command()
def stop() -> None:
    """Stop the daemon. Shares and their programs continue."""
    from gpushare.hardware.linux.signals import send_through  # noqa: PLC0415 (start-up time)

    daemon, state = local_client(), config().settings.state_dir

    def living() -> int:
        """The pid as the daemon says it, or one that does not answer holds its state directory."""
        try:
            return daemon.version().pid
        except DaemonError:
            if pid := holder_of(state):
                return pid
            raise

    pid = living()
    # A pidfd keeps referring to this process, even if the pid is reused.
    process = os.pidfd_open(pid)
    # The daemon may have ended before pidfd_open, and another process may have its pid.
    if living() == pid:
        send_through(process, Signals.SIGTERM)
    _await_end(process, pid)
    click.echo(f"gpushare: daemon {pid} has stopped; shares continue", err=True)


@daemon.command()
def prepare() -> None:
    """Load the driver and mount the memory for suspended shares, then end.

    \b
    gpushare daemon prepare

    `gpushare-prepare.service` of systemd runs this before the daemon, which has a mount namespace
    of its own there, and no right to load kernel modules.
    """
    from gpushare.daemon import prepare as run  # noqa: PLC0415 (start-up time)

    run(config({}).settings)


@daemon.command(name="reload")
@output_option
def reload_(*, output: "Output") -> None:
    """Have the daemon read its configuration again, as SIGHUP does. For operators.

    Prints which settings changed, and which of them need a restart of the daemon. An invalid file
    changes nothing; the error names the file and the key (exit code 2). Shares and their programs
    are not disturbed.

    \b
    gpushare daemon reload
    gpushare daemon reload -o json | jq '.changes[] | select(.effect == "restart")'
    """
    from gpushare.cli._format.settings import reload_text  # noqa: PLC0415 (start-up time)

    report = local_client().operations.reload()
    for warning in report.warnings:
        click.echo(f"gpushare: warning: {warning}", err=True)
    output.item(report, "\n".join(c.key for c in report.changes), lambda: reload_text(report))


def _serve(
    configuration: "Config",
    reread: "Callable[[], Config]",
    *,
    accept_loss: bool,
    until_idle: bool,
) -> None:
    from gpushare.daemon import serve  # noqa: PLC0415 (start-up time)

    # Where the caller names a socket, as a simulated machine does, no daemon of the machine counts.
    machine = None if configuration.named() else configuration.machine.socket
    end = UntilIdle(machine=machine) if until_idle else None
    try:
        serve(configuration.settings, reread, accept_loss=accept_loss, until_idle=end)
    except DaemonRunningError as error:
        raise _running(configuration.settings, error) from error
    except ModuleNotFoundError as error:
        raise DaemonError(
            "cannot serve",
            f"the package {error.name} is missing",
            install_again(error.name or "more packages"),
        ) from error


def _running(settings: "Settings", error: DaemonRunningError) -> DaemonRunningError:
    """The error with a hint that leads on where the running daemon does not answer."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    socket = socket_of(settings.state_dir) or settings.socket
    if _answering(Client(socket)) or holder_of(settings.state_dir) is None:
        return error
    because = f"it does not answer on {socket}"
    return DaemonRunningError(
        error.what, because, "end it, then start again (shares continue): gpushare daemon stop"
    )


def _detach(configuration: "Config", own: "list[str]") -> None:
    """`own`: flags that are not settings."""
    from gpushare.client import Client  # noqa: PLC0415 (start-up time)

    settings = configuration.settings
    client = Client(settings.socket)
    if running := _answering(client):
        raise _already(settings, running)
    log = settings.state_dir / "daemon.log"
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        log_end = log.stat().st_size if log.exists() else 0
        process = _start(configuration, log, own)
    except OSError as error:
        raise DeniedError(
            f"cannot write {settings.state_dir}", str(error), "use --state-dir, or start as root"
        ) from error
    try:
        _await_answer(client, process, lambda: _failure(_log_tail(log, log_end), log))
    except BaseException:
        # A daemon that hangs, or whose start was interrupted, must not come up later, when the user
        # no longer expects it.
        process.kill()
        process.wait()
        raise
    click.echo(f"gpushare: daemon {process.pid} answers on {settings.socket}; log: {log}", err=True)


def _await_answer(
    client: "Client",
    process: subprocess.Popen[bytes],
    failure: "Callable[[], GpushareError]",
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answering(client):
        if process.poll() is not None or time.monotonic() > deadline:
            raise failure()
        time.sleep(0.02)


def _already(settings: "Settings", running: "VersionView") -> DaemonRunningError:
    hint = "gpushare daemon status"
    if running.lifetime is Lifetime.UNTIL_IDLE:
        hint = "it ends when idle; for one that stays: gpushare daemon stop, then the same again"
    return DaemonRunningError(
        f"a daemon already runs on {settings.socket}", f"its pid is {running.pid}", hint
    )


def _start(configuration: "Config", log: Path, own: "list[str]") -> subprocess.Popen[bytes]:
    # Only what options set: the child reads the rest from the same files and variables, and again
    # at a reload.
    flags = [
        f"{origin}={getattr(configuration.settings, name)}"
        for name, origin in configuration.origins.items()
        if origin.startswith("--")
    ]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "gpushare.cli", "daemon", *flags, *own],
            env=_environment(configuration),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # The end of the terminal's session must not end the daemon.
            start_new_session=True,
            # A daemon must not keep the file system of the caller's folder from being unmounted.
            cwd="/",
            # What the daemon writes is its user's, whatever the caller's umask is; what others are
            # to reach gets its mode explicitly.
            umask=0o077,
        )


def _environment(configuration: "Config") -> dict[str, str]:
    """The caller's, with paths that do not depend on the caller's folder."""
    origins, settings = configuration.origins, configuration.settings
    paths = {
        origins[key]: value for key in origins if isinstance(value := getattr(settings, key), Path)
    }
    return {**os.environ, **{name: str(path) for name, path in paths.items() if name in os.environ}}


def _answering(client: "Client") -> "VersionView | None":
    try:
        return client.version()
    except GpushareError:
        return None


def _failure(log_text: str, log: Path) -> GpushareError:
    """The error that the daemon printed before it ended."""
    return error_in(log_text) or DaemonError(
        "the daemon did not start", log_text, f"its log: {log}"
    )


def _log_tail(log: Path, since: int) -> str:
    """The end of the log after the first `since` bytes, which are from earlier daemons."""
    return log.read_bytes()[since:].decode(errors="replace")[-_TAIL_CHARACTERS:].strip()


def _await_end(process: int, pid: int) -> None:
    from select import select  # noqa: PLC0415 (start-up time)

    try:
        if not select([process], [], [], _STOP_SECONDS)[0]:
            raise WaitTimeoutError(f"daemon {pid} does not stop", hint=f"kill -9 {pid}")
    finally:
        os.close(process)
