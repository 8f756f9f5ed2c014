# SPDX-License-Identifier: Apache-2.0
"""`gpushare show`: one share, and why it is where it is."""

import click

from ._connect import client, gpu_names
from ._options import output_option, share_argument, watch_option
from ._output import Output
from ._words import gpu_label, share_details


@click.command()
@share_argument
@watch_option
@output_option
def show(share: str, *, watch: bool, output: Output) -> None:
    """Show everything about SHARE: its id, the start of its id, or its name.

    \b
    gpushare show train-1
    gpushare show train-1 -o json | jq .enforcement
    """

    def once() -> None:
        found = client().show(share)
        gpus = gpu_names() if output.human else ()
        labels = {gpu.uuid: gpu_label(gpu) for gpu in gpus}
        output.item(found, found.name, lambda: share_details(found, labels))

    output.watch(once, again=watch)
