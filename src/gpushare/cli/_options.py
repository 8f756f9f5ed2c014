# SPDX-License-Identifier: Apache-2.0
"""Options that several commands take, read into values."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from gpushare.cli._format.output import JSON, Format, Output
from gpushare.model.errors import BadSpecError
from gpushare.model.spec import Isolation, MechanismName, Priority
from gpushare.session.spec_options import AUTO, spec

from ._connect import complete_gpu, complete_share

Command = Callable[..., Any]


def output_option(command: Command) -> Command:
    """`-o`, `--json` and `-q`; the command gets `output`."""

    @click.option(
        "-o",
        "--output",
        "style",
        type=click.Choice([*map(str, Format)]),
        default=str(Format.TABLE),
        help="How to print.",
    )
    @click.option("--json", "json", is_flag=True, help="The same as -o json.")
    @click.option("-q", "--quiet", is_flag=True, help="The same as -o name.")
    @wraps(command)
    def with_output(*args: Any, style: str, json: bool, quiet: bool, **rest: Any) -> Any:
        chosen = Format.JSON if json else Format.NAME if quiet else Format(style)
        click.get_current_context().find_root().meta[JSON] = chosen in {
            Format.JSON,
            Format.JSONL,
        }
        return command(*args, output=Output(chosen), **rest)

    return with_output


watch_option = click.option(
    "-w", "--watch", is_flag=True, help="Again every two seconds, until Ctrl-C."
)


affinity_option = click.option(
    "--no-affinity", is_flag=True, help="Run on any CPU, not those close to the GPUs."
)


def share_argument(command: Command) -> Command:
    return click.argument("share", shell_complete=complete_share)(command)


_SPEC_OPTIONS = (
    click.option("-m", "--memory", metavar="SIZE", help="Limit per GPU: 8GiB, or 20% of it."),
    click.option("--memory-request", metavar="SIZE", help="Guaranteed part of the limit."),
    click.option("-c", "--compute", metavar="PERCENT", help="Limit of compute per GPU."),
    click.option("--compute-request", metavar="PERCENT", help="Guaranteed part of the limit."),
    click.option(
        "-p",
        "--priority",
        type=click.Choice([*map(str, Priority)]),
        default=str(Priority.NORMAL),
        help="Who goes first when the GPU is contended.",
    ),
    click.option(
        "--isolation",
        type=click.Choice([*map(str, Isolation)]),
        default=str(Isolation.ANY),
        help="The least that you accept.",
    ),
    click.option("-n", "--gpus", metavar="N", type=click.IntRange(1), help="How many GPUs."),
    click.option(
        "--gpu",
        metavar="UUID|INDEX",
        multiple=True,
        shell_complete=complete_gpu,
        help="Only this GPU; may be given again.",
    ),
    click.option(
        "--mechanism",
        type=click.Choice([AUTO, *map(str, MechanismName)]),
        default=AUTO,
        help="How the share is made real.",
    ),
    click.option("--name", help="What to call the share."),
    click.option("--ttl", metavar="TIME", help="End the share after this time: 90s, 30m, 8h, 2d."),
    click.option("-l", "--label", metavar="KEY=VALUE", multiple=True, help="May be given again."),
    click.option(
        "--turns",
        is_flag=True,
        help="Share GPU memory with others that take turns: one is on the GPU, the others wait.",
    ),
    click.option("--tenant", metavar="NAME", help="For which of your tenants; else the first."),
    click.option(
        "--no-borrow",
        is_flag=True,
        help="Only from what the tenant is guaranteed: it cannot be taken back.",
    ),
    click.option(
        "--at", metavar="TIME", help="Reserve: 14:00, +2h, 2026-12-01T08:00; with --for or --ttl."
    ),
    click.option("--for", "duration", metavar="TIME", help="The same as --ttl."),
    click.option(
        "--gang", metavar="NAME:SIZE", help="Granted together with SIZE shares of this name."
    ),
    click.option(
        "--near", metavar="KEY=VALUE", multiple=True, help="Beside your shares with this label."
    ),
    click.option(
        "--apart", metavar="KEY=VALUE", multiple=True, help="Not beside your shares with it."
    ),
    click.option(
        "--select",
        metavar="WHAT",
        multiple=True,
        help="Only GPUs like that: model=H200, memory>=40GiB, numa=0.",
    ),
    click.option(
        "--allow-unverified",
        is_flag=True,
        help="Go on when a limit was found not to hold on this machine.",
    ),
)


def spec_options(command: Command) -> Command:
    """Everything that describes a share; the command gets `spec`."""

    @wraps(command)
    def with_spec(*args: Any, **given: Any) -> Any:
        taken = {name: given.pop(name) for name in _SPEC_NAMES}
        for labels in ("label", "near", "apart"):
            taken[_LABELS[labels]] = dict(_label(text) for text in given.pop(labels))
        taken["gpus"] = given.pop("gpus") or max(1, len(taken["gpu"]))
        taken["borrow"] = not given.pop("no_borrow")
        taken["ttl"] = _time(taken["ttl"], given.pop("duration"))
        return command(*args, spec=spec(**taken), **given)

    for option in reversed(_SPEC_OPTIONS):
        with_spec = option(with_spec)
    return with_spec


_SPEC_NAMES = (
    "memory",
    "memory_request",
    "compute",
    "compute_request",
    "priority",
    "isolation",
    "gpu",
    "mechanism",
    "name",
    "ttl",
    "allow_unverified",
    "turns",
    "tenant",
    "at",
    "gang",
    "select",
)
_LABELS = {"label": "labels", "near": "near", "apart": "apart"}


def _time(ttl: str | None, duration: str | None) -> str | None:
    if ttl and duration:
        raise BadSpecError("the time is given twice", "--for is the same as --ttl")
    return ttl or duration


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadSpecError(f"cannot read the label {text!r}", "", "write KEY=VALUE")
    return key, value
