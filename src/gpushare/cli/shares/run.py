# SPDX-License-Identifier: Apache-2.0
"""`gpushare run`: get a share and exec the program in it."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import click
from msgspec.structs import replace

from gpushare.cli._connect import config, own_daemon, require_local
from gpushare.cli._errors import FAILED, FAILED_BEFORE
from gpushare.cli._format.fitting import described
from gpushare.cli._format.output import Output
from gpushare.cli._format.shares import levels
from gpushare.cli._options import affinity_option, output_option, spec_options
from gpushare.cli._reconnect import reconnect_option, reconnecting
from gpushare.client.reconnect import Reconnect
from gpushare.config.printable import printable
from gpushare.model.errors import UsageError
from gpushare.model.spec import ShareSpec
from gpushare.model.units import parse_duration
from gpushare.model.view import CreateRequest, Plan, ShareView
from gpushare.session.acquire import acquire, enter
from gpushare.session.program_name import program_name

from ._launch import QueueProgress, exec_program, find_program, say_whole_gpu, warn_unenforced


@click.command(context_settings={"allow_interspersed_args": False})
@spec_options
@click.option(
    "--no-wait", is_flag=True, help="Fail with exit code 75 instead of waiting in the queue."
)
@click.option("--timeout", metavar="TIME", help="Wait in the queue for at most this long.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background. Output: gpushare logs.")
@click.option("--rm", "forget", is_flag=True, help="Remember nothing of the share after its end.")
@click.option("--explain", is_flag=True, help="Explain the choice of GPU and mechanism, then run.")
@click.option("--dry-run", is_flag=True, help="Print what would happen, and exit.")
@affinity_option
@reconnect_option
@output_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    spec: ShareSpec,
    command: tuple[str, ...],
    timeout: str | None,
    output: Output,
    *,
    reconnect: float,
    no_wait: bool,
    no_affinity: bool,
    detach: bool,
    forget: bool,
    explain: bool,
    dry_run: bool,
) -> None:
    """Run COMMAND in a share of a GPU, and release the share when COMMAND ends.

    Without -m the share takes a whole GPU, and no other share can use it meanwhile. Where no daemon
    runs, one of your own is started, which ends when idle (setting auto_start).

    gpushare replaces itself with COMMAND, so signals, terminal and exit code are those of COMMAND.
    Exit codes before that: 75 no capacity (--no-wait), 124 timeout in the queue, 125 gpushare
    failed, 126 COMMAND cannot be executed, 127 COMMAND not found.

    \b
    gpushare run -m 8GiB -c 50 -- python train.py
    gpushare run -m 20% -p low --name sweep -d -- ./sweep.sh
    gpushare run -n 2 --no-wait -- torchrun --nproc-per-node 2 train.py
    gpushare run -m 8GiB --dry-run
    """
    context.find_root().meta[FAILED] = FAILED_BEFORE
    if dry_run or explain:
        _explain(own_daemon().client().plan(spec), output, aside=not dry_run)
    if dry_run:
        return
    if not command:
        raise UsageError("no COMMAND to run", hint="gpushare run -m 8GiB -- python train.py")
    # Searched first: no share is created for a program that does not exist.
    path = find_program(command[0])
    queue_timeout = parse_duration(timeout) if timeout else None
    request = CreateRequest(
        spec=spec,
        holder=os.getpid(),
        wait=not no_wait,
        program=program_name(command),
        forget=forget,
    )
    start = partial(_start, path, command, near=not no_affinity)
    get = partial(acquire, timeout=queue_timeout)
    if detach:
        _detach(start, request, get, reconnecting(reconnect, revive=own_daemon().again), output)
        return
    own = own_daemon()
    with QueueProgress(_begun(spec, output)) as progress:
        again = reconnecting(reconnect, progress.done, revive=own.again)
        with get(own.client(), request, on_wait=progress, reconnect=again) as share:
            progress.begin()
            progress.done()
            warn_unenforced(share)
            start(share, again)


def _begun(spec: ShareSpec, output: Output) -> Callable[[], None]:
    """What is reported once the share is accepted, before it waits."""
    return partial(say_whole_gpu, spec) if output.human else lambda: None


def _start(
    path: str, command: Sequence[str], share: ShareView, reconnect: Reconnect, *, near: bool
) -> None:
    preload = os.environ.get("LD_PRELOAD", "")
    entry = enter(own_daemon().client(), share, os.getpid(), preload, reconnect)
    exec_program(path, command, entry, near=near)


def _detach(
    start: Callable[[ShareView, Reconnect], None],
    request: CreateRequest,
    get: Callable[..., AbstractContextManager[ShareView]],
    reconnect: Reconnect,
    output: Output,
) -> None:
    from gpushare.session.log_files import delete_old, log_file  # noqa: PLC0415 (start-up time)
    from gpushare.session.report_end import FORGET  # noqa: PLC0415 (start-up time)

    from ._detach import StartupPipe, fork_to_background  # noqa: PLC0415 (start-up time)

    daemon, settings = own_daemon().client(), config().settings
    socket = require_local(daemon, "cannot start programs")
    log = log_file(request.program, os.environ)
    delete_old(os.environ, settings)
    keep = FORGET if request.forget else str(settings.output_keep)
    started = fork_to_background(log, socket, keep)
    if not isinstance(started, StartupPipe):
        _begun(request.spec, output)()
        output.item(started, started.name, lambda: started.name)
        return
    # Only the program holds the share; its pid differs from the one in `request`.
    request = replace(request, holder=os.getpid(), log=str(log), supervised=True)
    with (
        started.failures(),
        get(daemon, request, on_wait=started, reconnect=reconnect) as share,
    ):
        started(share)
        start(share, reconnect)


def _explain(plan: Plan, output: Output, *, aside: bool) -> None:
    """`aside`: print on stderr, because stdout belongs to the program."""
    if aside or output.human:
        click.echo(_format_plan(plan), err=aside)
    else:
        output.item(plan, "", str)


def _format_plan(plan: Plan) -> str:
    if plan.decision is None:
        return printable(f"the share would wait for {plan.waits_for}")
    rows = [("by", "+".join(plan.decision.mechanisms))]
    rows += [("why", line) for line in plan.decision.why]
    rows += [("enforcement", levels(plan.decision.enforcement))]
    rows += [("not protected", line) for line in plan.decision.unprotected]
    return described(rows)
