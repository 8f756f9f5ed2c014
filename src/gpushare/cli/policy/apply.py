# SPDX-License-Identifier: Apache-2.0
"""`gpushare apply`: set the policy of the machine from a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import client
from gpushare.cli._everywhere import complete_file
from gpushare.cli._format.output import Output
from gpushare.cli._format.policy import changed, warn
from gpushare.cli._options import output_option
from gpushare.model.errors import CheckFailedError, PolicyError

if TYPE_CHECKING:
    from gpushare.model.policy.tenant import Policy

_STDIN = "-"


@click.command()
@click.option(
    "-f",
    "--file",
    "path",
    metavar="FILE",
    required=True,
    shell_complete=complete_file,
    help="Policy file; - reads stdin.",
)
@click.option(
    "--format",
    "syntax",
    type=click.Choice(["toml", "yaml", "json"]),
    help="Syntax of the file. Default: by its suffix; TOML for stdin.",
)
@click.option("--prune", is_flag=True, help="Remove tenants that are not in the file.")
@click.option("--check", is_flag=True, help="Change nothing; exit with 3 if the policy differs.")
@click.option("--diff", is_flag=True, help="Change nothing; print a line-by-line diff.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would change.")
@output_option
def apply(
    path: str,
    syntax: str | None,
    *,
    prune: bool,
    check: bool,
    diff: bool,
    dry_run: bool,
    output: Output,
) -> None:
    """Set the policy of the machine from FILE. `gpushare export` writes such a file.

    Keys that are not in the file get their defaults. Tenants that are not in the file stay, unless
    --prune is given. If the file has an error, nothing changes.

    \b
    gpushare apply -f policy.toml --diff
    gpushare apply -f policy.toml
    gpushare apply -f policy.toml --prune --check
    """
    from gpushare.client.policy import with_tenants_of  # noqa: PLC0415 (start-up time)

    rules, policy = client().rules, _read(path, syntax)
    current = rules.policy()
    policy = policy if prune else with_tenants_of(policy, current.policy)
    # With the revision, the daemon refuses if another user has changed the policy meanwhile.
    change = rules.put(policy, revision=current.revision, dry=check or diff or dry_run)
    if diff and output.human:
        warn(change)
        click.echo(_unified(current.policy, policy), nl=False)
    else:
        changed(change, output, path)
    if check and change.changes:
        raise CheckFailedError(
            f"the policy differs from {path}",
            f"{len(change.changes)} differences",
            f"see them: gpushare apply -f {path} --diff",
        )


def _read(path: str, syntax: str | None) -> "Policy":
    """Raises PolicyError, which names the file and the place in it."""
    from gpushare.config.policy_file import Syntax, read, syntax_of  # noqa: PLC0415 (start-up time)

    if path == _STDIN:
        return read(sys.stdin.read(), Syntax(syntax or Syntax.TOML), "stdin")
    chosen = Syntax(syntax) if syntax else syntax_of(Path(path))
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"cannot read {path}", str(error), "gpushare export > FILE") from error
    return read(text, chosen, path)


def _unified(current: "Policy", new_policy: "Policy") -> str:
    from difflib import unified_diff  # noqa: PLC0415 (start-up time)

    from gpushare.config.policy_file import Syntax, written  # noqa: PLC0415 (start-up time)

    old, new = (
        written(each, Syntax.TOML).splitlines(keepends=True) for each in (current, new_policy)
    )
    return "".join(unified_diff(old, new, "in force", "wanted"))
