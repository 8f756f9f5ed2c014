# SPDX-License-Identifier: Apache-2.0
"""`gpushare simulate`: run a command on a simulated NVIDIA machine, or a recorded day again."""

import os
from datetime import UTC, datetime

import click

from gpushare.cli._errors import FAILED, FAILED_BEFORE
from gpushare.cli._everywhere import complete_file
from gpushare.cli._format.fitting import described
from gpushare.cli._format.output import Output
from gpushare.cli._options import output_option
from gpushare.cli._strict import Number

_MOST_GPUS = 1024


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("profile", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--list", "listing", is_flag=True, help="List the profiles and exit.")
@click.option(
    "--record",
    "target",
    metavar="FILE",
    shell_complete=complete_file,
    help="Write the daemon's shares to a trace; - for stdout.",
)
@click.option(
    "--since", metavar="TIME", help="With --record: start at 2h (ago), 7d, 2026-12-01T08:00."
)
@click.option(
    "--anonymize", is_flag=True, help="With --record: replace all names in it by numbers."
)
@click.option(
    "--replay",
    "trace",
    metavar="FILE",
    shell_complete=complete_file,
    help="Run a trace again and compare.",
)
@click.option(
    "--policy",
    metavar="FILE",
    shell_complete=complete_file,
    help="With --replay: under this policy file.",
)
@click.option(
    "--gpus", type=Number(1, _MOST_GPUS), metavar="N", help="With --replay: on so many GPUs."
)
@output_option
@click.pass_context
def simulate(
    context: click.Context,
    profile: str | None,
    command: tuple[str, ...],
    *,
    listing: bool,
    target: str | None,
    since: str | None,
    anonymize: bool,
    trace: str | None,
    policy: str | None,
    gpus: int | None,
    output: Output,
) -> None:
    """Run COMMAND on a simulated machine. Default: a shell.

    \b
    gpushare simulate h200-1 -- gpustat
    gpushare simulate dgx-h100 -- sh -c 'gpushare daemon & sleep 1; gpushare gpus'
    gpushare simulate --list

    The machine ends with COMMAND, and so does its daemon, with all shares. The daemon's folders are
    in the machine's folder, unless GPUSHARE_STATE_DIR and others name them. The exit code is that
    of COMMAND; 125 if gpushare failed, 126 if COMMAND cannot be executed, 127 if it is not found,
    128 + n if signal n ended it.

    A trace has the requests, grants and ends of shares from the audit log, the policy and the GPUs.
    Replaying one shows what another policy or machine would have done, without a daemon:

    \b
    gpushare simulate --record day.trace --since 1d
    gpushare simulate --record day.trace --anonymize
    gpushare simulate --replay day.trace --policy new.toml
    gpushare simulate --replay day.trace --gpus 4 -o json
    """
    _check(target, trace, profile, {"--since": since, "--anonymize": anonymize}, {
        "--policy": policy, "--gpus": gpus,
    })  # fmt: skip
    if target is not None:
        _record(target, since, hide=anonymize)
    elif trace is not None:
        from . import _traces  # noqa: PLC0415 (start-up time)

        _traces.replay(trace, policy, gpus, output)
    elif listing:
        context.find_root().meta[FAILED] = FAILED_BEFORE
        _list()
    else:
        context.find_root().meta[FAILED] = FAILED_BEFORE
        context.exit(_run(profile, command))


def _record(target: str, since: str | None, *, hide: bool) -> None:
    from gpushare.session.times import moment  # noqa: PLC0415 (start-up time)

    from . import _traces  # noqa: PLC0415

    _traces.record(target, moment(since, datetime.now(UTC).astimezone()), hide=hide)


def _check(
    target: str | None,
    trace: str | None,
    profile: str | None,
    recording: dict[str, object],
    replaying: dict[str, object],
) -> None:
    """Raises UsageError for options that say nothing together."""
    if target is not None and trace is not None:
        raise click.UsageError("--record and --replay cannot be given together")
    if profile is not None and (target is not None or trace is not None):
        raise click.UsageError("--record and --replay run no PROFILE and no COMMAND")
    for mode, value, options in (("--record", target, recording), ("--replay", trace, replaying)):
        given = [name for name, each in options.items() if each]
        if value is None and given:
            raise click.UsageError(f"{given[0]} is for {mode}")


def _list() -> None:
    from gpushare.hardware.simulated import profiles  # noqa: PLC0415 (start-up time)

    by_name = profiles()
    click.echo(described([(name, profile.description) for name, profile in by_name.items()]))


def _run(profile: str | None, command: tuple[str, ...]) -> int:
    if profile is None:
        raise click.UsageError("no PROFILE given; --list shows the profiles")
    from gpushare.hardware.simulated import machine, run_child, signals_held  # noqa: PLC0415

    # Signals are held before the machine exists, so that it is removed whatever ends the command.
    with signals_held(), machine(profile) as simulated:
        click.echo(f"gpushare: simulated machine {profile}", err=True)
        argv = list(command[1:] if command[:1] == ("--",) else command)
        argv = argv or [os.environ.get("SHELL", "/bin/sh")]
        return run_child(argv, simulated.environment())
