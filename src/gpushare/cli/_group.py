# SPDX-License-Identifier: Apache-2.0
"""The verbs, each imported only when it is asked for: start-up time is a feature."""

from collections import UserDict
from importlib import import_module
from typing import Any

import click

VERBS = {
    "run": "Run a program in a share of a GPU.",
    "create": "Hold a share without a program.",
    "rm": "Release shares.",
    "ps": "List shares and the queue.",
    "show": "Show everything about one share.",
    "update": "Change a share while it lives.",
    "suspend": "Take shares off the GPU for a while.",
    "resume": "Put suspended shares back.",
    "migrate": "Move a share to another GPU.",
    "exec": "Run a program in a share that exists.",
    "env": "Print a share's environment for a shell.",
    "wait": "Wait until a share is in a state.",
    "logs": "Show the output of a detached program.",
    "verify": "Try to break a share's limits and report.",
    "gpus": "List the GPUs and what they can do.",
    "tenant": "List and change tenants: whom quotas are about.",
    "quota": "Show what tenants may have and have, and change it.",
    "apply": "Set all rules of the machine from a file.",
    "export": "Print all rules of the machine as a file.",
    "clean": "Find what is left behind, and remove it.",
    "audit": "Show, verify and export what was done and refused.",
    "token": "Make, list and revoke tokens for callers from other machines.",
    "login": "Store a token for a daemon on another machine.",
    "logout": "Forget that token, and revoke it.",
    "daemon": "Serve shares of this machine's GPUs.",
    "config": "Show, check and find the configuration.",
    "simulate": "Run anything on a simulated NVIDIA machine.",
    "explain": "Explain an error code.",
    "completion": "Print a completion script for a shell.",
    "version": "Print the versions of client and daemon.",
}
ALIASES = {"ls": "ps", "list": "ps", "remove": "rm", "inspect": "show"}


class Verbs(UserDict[str, click.Command]):
    """Each name of `VERBS` is a module with a command of that name, imported when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.data = dict.fromkeys(VERBS, click.Command(None))

    def __getitem__(self, verb: str) -> click.Command:
        if verb not in VERBS:
            raise KeyError(verb)
        module = import_module(f"gpushare.cli.{verb}")
        command = getattr(module, f"{verb}_" if verb == "exec" else verb)
        assert isinstance(command, click.Command)
        return command


class VerbGroup(click.Group):
    """Verbs in the order of `VERBS`, and under their aliases."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, commands=Verbs())

    def list_commands(self, _: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        return self.commands.get(ALIASES.get(name, name))

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if self.get_command(context, name) is None and not name.startswith("-"):
            from difflib import get_close_matches  # noqa: PLC0415 (start-up time)

            near = get_close_matches(name, [*VERBS, *ALIASES], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no command {name!r}.{hint}", context)
        return super().resolve_command(context, args)
