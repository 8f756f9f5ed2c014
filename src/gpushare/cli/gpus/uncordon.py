# SPDX-License-Identifier: Apache-2.0
"""`gpushare uncordon`: offer GPUs to new shares again."""

import click

from gpushare.cli._connect import client, complete_target
from gpushare.cli._each import for_each
from gpushare.cli._format.cordons import remaining, target_name
from gpushare.cli._format.output import note
from gpushare.model.errors import CheckFailedError


@click.command()
@click.argument(
    "targets", metavar="GPU|node…", nargs=-1, required=True, shell_complete=complete_target
)
@click.pass_context
def uncordon(context: click.Context, targets: tuple[str, ...]) -> None:
    """Lift the cordons of GPUs, or that of the whole machine (`node`). For operators.

    Also lifts a cordon that the daemon has set because of an error, unless the driver still names
    what the GPU needs. A cordon of `node` is lifted as `node` only. Exit code 3 if something still
    keeps shares off the GPU; `gpushare undrain` is the same command.

    \b
    gpushare uncordon 1
    gpushare uncordon node
    """
    for_each(context, targets, _uncordon)


def _uncordon(target: str) -> str:
    change = client().operations.uncordon(target)
    if why := remaining(change):
        hint = "gpushare uncordon node" if "whole machine" in why else "gpushare gpus"
        raise CheckFailedError(f"{target_name(target)} still takes no new shares", why, hint)
    if not change.before:
        note(f"{target_name(target)} was not cordoned")
    return target
