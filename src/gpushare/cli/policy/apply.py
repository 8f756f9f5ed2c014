# SPDX-License-Identifier: Apache-2.0
"""`gpushare apply`: set all rules of the machine from one file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import Output
from gpushare.cli._format.policy import changed, warn
from gpushare.cli._options import output_option
from gpushare.model.errors import CheckFailedError, PolicyError

if TYPE_CHECKING:
    from gpushare.model.policy.tenant import Policy

_STDIN = "-"


@click.command()
@click.option("-f", "--file", "path", metavar="FILE", required=True, help="The file; - is stdin.")
@click.option(
    "--format",
    "syntax",
    type=click.Choice(["toml", "yaml", "json"]),
    help="How it is written; else by the file's ending, TOML on stdin.",
)
@click.option("--prune", is_flag=True, help="Remove tenants that the file does not name.")
@click.option("--check", is_flag=True, help="Change nothing; exit code 3 when something differs.")
@click.option("--diff", is_flag=True, help="Change nothing; print the difference line by line.")
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
    """Set all rules of the machine from FILE, which `gpushare export` writes.

    What the file does not say has its usual value; tenants that it does not name stay, unless
    --prune is given. Nothing is changed unless all of it is right; applied again it changes
    nothing.

    \b
    gpushare apply -f policy.toml --diff
    gpushare apply -f policy.toml
    gpushare apply -f policy.toml --prune --check
    """
    from gpushare.client.policy import with_tenants_of  # noqa: PLC0415 (start-up time)

    rules, policy = client().rules, _read(path, syntax)
    current = rules.policy()
    policy = policy if prune else with_tenants_of(policy, current.policy)
    change = rules.put(policy, revision=current.revision, dry=check or diff or dry_run)
    if diff and output.human:
        warn(change)
        click.echo(_unified(current.policy, policy), nl=False)
    else:
        changed(change, output, path)
    if check and change.changes:
        raise CheckFailedError(
            f"the rules are not as {path} says",
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
