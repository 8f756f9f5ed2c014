# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share."""

import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from gpushare.cli._format.output import JSON, Format, Output
from gpushare.model.errors import BadSpecError
from gpushare.session.gpu_choice import ask_for, may_choose
from gpushare.session.spec_options import SPEC_FIELDS, SpecField, changes, spec

from ._connect import client, complete_gpu, complete_share, own_daemon
from ._strict import Number

Command = Callable[..., Any]


def output_option(command: Command) -> Command:
    """`-o`, `--json` and `-q`; the command gets `output`."""

    @click.option(
        "-o",
        "--output",
        "style",
        type=click.Choice([*map(str, Format)]),
        default=str(Format.TABLE),
        help="Output format.",
    )
    @click.option("--json", "json", is_flag=True, help="Same as -o json.")
    @click.option("-q", "--quiet", is_flag=True, help="Print names only; same as -o name.")
    @wraps(command)
    def with_output(*args: Any, style: str, json: bool, quiet: bool, **rest: Any) -> Any:
        chosen = Format.JSON if json else Format.NAME if quiet else Format(style)
        # Known before the command runs, so that its errors have the same format as its output.
        click.get_current_context().find_root().meta[JSON] = chosen in {
            Format.JSON,
            Format.JSONL,
        }
        return command(*args, output=Output(chosen), **rest)

    return with_output


watch_option = click.option(
    "-w", "--watch", is_flag=True, help="Refresh every two seconds until Ctrl-C."
)


affinity_option = click.option(
    "--no-affinity", is_flag=True, help="Do not bind the program to the CPUs closest to its GPUs."
)


def share_argument(command: Command) -> Command:
    """The argument SHARE, which the shell can complete."""
    return click.argument("share", shell_complete=complete_share)(command)


def spec_options(command: Command) -> Command:
    """An option for each field of a share spec; the command gets `spec`."""

    @wraps(command)
    def with_spec(*args: Any, duration: str | None, **given: Any) -> Any:
        options = _taken(given, SPEC_FIELDS)
        # Only where the environment has to be compared with the machine's GPUs.
        daemon = own_daemon().client() if may_choose(os.environ) else client()
        options["gpu"] = ask_for(daemon, os.environ, options["gpu"])
        # `--gpu 0 --gpu 1` without `-n` asks for both, as does CUDA_VISIBLE_DEVICES=0,1.
        options["gpus"] = options["gpus"] or max(1, len(options["gpu"]))
        options["ttl"] = _time(options["ttl"], duration)
        return command(*args, spec=spec(**options), **given)

    alias = click.option("--for", "duration", metavar="TIME", help="Same as --ttl.")
    return _with_options(alias(with_spec), SPEC_FIELDS)


def change_options(command: Command) -> Command:
    """An option for each field that can change later; the command gets `change`."""
    fields = [field for field in SPEC_FIELDS if field.live]

    @wraps(command)
    def with_change(*args: Any, **given: Any) -> Any:
        return command(*args, change=changes(**_taken(given, fields)), **given)

    return _with_options(with_change, fields)


def _with_options(command: Command, fields: Sequence[SpecField]) -> Command:
    """The command with an option for each field; click lists the last decorator first."""
    for field in reversed(fields):
        command = _option(field)(command)
    return command


def _option(field: SpecField) -> Callable[[Command], Command]:
    kind: Any = click.Choice(field.choices) if field.choices else None
    return click.option(
        *field.flags,
        field.keyword,
        metavar=field.metavar,
        type=kind if field.minimum is None else Number(field.minimum),
        is_flag=field.is_flag,
        multiple=field.repeated,
        shell_complete=complete_gpu if field.keyword == "gpu" else None,
        help=field.help,
    )


def _taken(given: dict[str, Any], fields: Sequence[SpecField]) -> dict[str, Any]:
    """The values of these fields, removed from what click gives the command."""
    values = {field: given.pop(field.keyword) for field in fields}
    return {field.keyword: not value if field.negated else value for field, value in values.items()}


def _time(ttl: str | None, duration: str | None) -> str | None:
    if ttl and duration:
        raise BadSpecError("--ttl and --for are both given", "they are the same option")
    return ttl or duration
