# SPDX-License-Identifier: Apache-2.0
"""`gpushare simulate`: run a command on a simulated NVIDIA machine."""

import os

import click

from gpushare.cli._errors import FAILED, FAILED_BEFORE


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("profile", required=False)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--list", "listing", is_flag=True, help="List the profiles and exit.")
@click.pass_context
def simulate(
    context: click.Context, profile: str | None, command: tuple[str, ...], listing: bool
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
    """
    context.find_root().meta[FAILED] = FAILED_BEFORE
    if listing:
        _list()
        return
    if profile is None:
        raise click.UsageError("no PROFILE given; --list shows the profiles")
    argv = list(command[1:] if command[:1] == ("--",) else command)
    context.exit(_run(profile, argv or [os.environ.get("SHELL", "/bin/sh")]))


def _list() -> None:
    from gpushare.hardware.simulated import profiles  # noqa: PLC0415 (start-up time)

    by_name = profiles()
    width = max(map(len, by_name))
    for name, profile in by_name.items():
        click.echo(f"{name:<{width}}  {profile.description}")


def _run(profile: str, command: list[str]) -> int:
    from gpushare.hardware.simulated import machine, run_child, signals_held  # noqa: PLC0415

    # Signals are held before the machine exists, so that it is removed whatever ends the command.
    with signals_held(), machine(profile) as simulated:
        click.echo(f"gpushare: simulated machine {profile}", err=True)
        return run_child(command, simulated.environment())
