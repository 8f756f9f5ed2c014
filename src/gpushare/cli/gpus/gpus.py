# SPDX-License-Identifier: Apache-2.0
"""`gpushare gpus`: GPUs, what is granted on them, and the mechanisms they support."""

from collections.abc import Sequence

import click

from gpushare.cli import _connect
from gpushare.cli._format.fitting import aligned
from gpushare.cli._format.output import Output, note
from gpushare.cli._format.shares import NONE, gpu_label, gpu_table
from gpushare.cli._options import output_option, watch_option
from gpushare.model.view import GpuView


@click.command()
@click.option("--topology", is_flag=True, help="Show the links between GPUs.")
@click.option(
    "--capabilities", is_flag=True, help="Show each mechanism, and why it is unavailable."
)
@watch_option
@output_option
def gpus(*, topology: bool, capabilities: bool, watch: bool, output: Output) -> None:
    """List GPUs. Works without a daemon.

    \b
    gpushare gpus
    gpushare gpus --capabilities
    gpushare gpus -o json | jq '.items[].memory'
    """

    def show() -> None:
        gpus = _connect.gpus()
        if not gpus:
            click.echo(
                "gpushare: no NVIDIA GPU found; to simulate one: gpushare simulate h200-1", err=True
            )
        if topology:
            click.echo(_topology(gpus))
        elif capabilities:
            click.echo(_capabilities(gpus))
        else:
            output.items(gpus, gpu_table())
            if output.human:
                _explain(gpus)

    output.watch(show, again=watch)


def _explain(gpus: Sequence[GpuView]) -> None:
    """Why GPUs offer less than the machine could; on stderr, which scripts do not read."""
    for gpu in gpus:
        own = {m.reason for m in gpu.mechanisms if m.reason.startswith(f"GPU {gpu.index} ")}
        for reason in sorted(own):
            note(reason)


def _topology(gpus: Sequence[GpuView]) -> str:
    head = ["GPU", *(str(gpu.index) for gpu in gpus)]
    rows = [
        [gpu_label(gpu), *("X" if gpu is to else gpu.topology.get(to.uuid, NONE) for to in gpus)]
        for gpu in gpus
    ]
    return aligned([head, *rows])


def _capabilities(gpus: Sequence[GpuView]) -> str:
    rows = [
        [
            gpu_label(gpu),
            capability.mechanism,
            "yes" if capability.available else "no",
            capability.reason,
        ]
        for gpu in gpus
        for capability in gpu.mechanisms
    ]
    return aligned([["GPU", "MECHANISM", "AVAILABLE", "REASON"], *rows])
