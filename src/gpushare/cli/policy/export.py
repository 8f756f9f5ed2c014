# SPDX-License-Identifier: Apache-2.0
"""`gpushare export`: the policy of the machine as a file for `apply`."""

from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import client
from gpushare.cli._format.fitting import aligned
from gpushare.cli._format.times import moment
from gpushare.cli._strict import Number
from gpushare.model.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpushare.model.policy.view import PolicyView


@click.command()
@click.option(
    "-o",
    "--output",
    "style",
    type=click.Choice(["toml", "yaml", "json"]),
    default="toml",
    help="Syntax of the output.",
)
@click.option("--revision", type=Number(1), metavar="N", help="Print this earlier revision.")
@click.option("--history", is_flag=True, help="List the revisions with time and author.")
def export(style: str, revision: int | None, *, history: bool) -> None:
    """Print the policy of the machine: tenants, quotas, placement, reclaiming.

    `gpushare apply` reads this output.

    \b
    gpushare export > policy.toml
    gpushare export -o yaml
    gpushare export --history
    gpushare export --revision 3 | gpushare apply -f - --prune
    """
    from gpushare.config.policy_file import Syntax, written  # noqa: PLC0415 (start-up time)

    if history:
        click.echo(aligned(_lines(client().rules.policies())))
        return
    chosen = client().rules.policy() if revision is None else _earlier(revision)
    click.echo(written(chosen.policy, Syntax(style)), nl=False)


def _lines(revisions: "Sequence[PolicyView]") -> list[list[str]]:
    rows = [
        [
            str(revision.revision),
            moment(revision.at) if revision.at else "-",
            revision.by,
        ]
        for revision in revisions
    ]
    return [["REVISION", "AT", "BY"], *rows]


def _earlier(revision: int) -> "PolicyView":
    for policy in client().rules.policies():
        if policy.revision == revision:
            return policy
    raise NotFoundError(
        f"no policy has the revision {revision}",
        "it does not exist, or is no longer stored",
        "list the revisions: gpushare export --history",
    )
