# SPDX-License-Identifier: Apache-2.0
"""`gpushare export`: all rules of the machine as a file that `apply` reads."""

import click

from ._connect import client


@click.command()
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(["toml", "yaml", "json"]),
    default="toml",
    help="How to write it.",
)
def export(style: str) -> None:
    """Print all rules of the machine: tenants, quotas, placement, what may be taken back.

    `gpushare apply` reads exactly this.

    \b
    gpushare export > policy.toml
    gpushare export -o yaml
    """
    from gpushare.client.policy_file import Syntax, written  # noqa: PLC0415 (start-up time)

    click.echo(written(client().rules.policy().policy, Syntax(style)), nl=False)
