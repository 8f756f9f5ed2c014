# SPDX-License-Identifier: Apache-2.0
"""`gpushare wait`: until a share is in a state."""

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._options import output_option, share_argument
from gpushare.model.errors import CheckFailedError
from gpushare.model.share import State
from gpushare.model.units import Seconds, parse_duration

_FOREVER = Seconds(10**9)


@click.command()
@share_argument
@click.option(
    "--for",
    "states",
    type=click.Choice([*map(str, State)]),
    multiple=True,
    help="The state; may be given again. By default the end.",
)
@click.option("--timeout", metavar="TIME", help="Give up after this time, with exit code 124.")
@output_option
def wait(share: str, states: tuple[str, ...], timeout: str | None, output: Output) -> None:
    """Wait until SHARE is in a state.

    Exit code 3 when it ends without having been in it.

    \b
    gpushare wait train-1 --for running --timeout 5m
    gpushare wait train-1
    """
    target_states = [State(state) for state in states] or [State.RELEASED, State.FAILED]
    view = client().wait(share, target_states, parse_duration(timeout) if timeout else _FOREVER)
    output.item(view, view.name, lambda: str(view.state))
    if view.state not in target_states:
        raise CheckFailedError(
            f"share {view.name} is {view.state}", view.reason, f"gpushare show {view.name}"
        )
