# SPDX-License-Identifier: Apache-2.0
"""The verbs, each imported only when it is asked for: start-up time is a feature."""

from collections import UserDict
from importlib import import_module
from typing import Any, NamedTuple

import click


class Verb(NamedTuple):
    """Where a command is, as a module of `gpushare.cli`, and its line in the list of commands."""

    module: str
    summary: str


VERBS = {
    "run": Verb("shares.run", "Run a program in a share of a GPU."),
    "create": Verb("shares.create", "Hold a share without a program."),
    "rm": Verb("shares.rm", "Release shares."),
    "ps": Verb("shares.ps", "List shares and the queue."),
    "show": Verb("shares.show", "Show everything about one share."),
    "update": Verb("shares.update", "Change a share while it lives."),
    "suspend": Verb("shares.suspend", "Take shares off the GPU for a while."),
    "resume": Verb("shares.resume", "Put suspended shares back."),
    "migrate": Verb("shares.migrate", "Move a share to another GPU."),
    "exec": Verb("shares.exec", "Run a program in a share that exists."),
    "env": Verb("shares.env", "Print a share's environment for a shell."),
    "wait": Verb("shares.wait", "Wait until a share is in a state."),
    "logs": Verb("shares.logs", "Show the output of a detached program."),
    "verify": Verb("shares.verify", "Try to break a share's limits and report."),
    "gpus": Verb("gpus.gpus", "List the GPUs and what they can do."),
    "tenant": Verb("policy.tenant", "List and change tenants: whom quotas are about."),
    "quota": Verb("policy.quota", "Show what tenants may have and have, and change it."),
    "apply": Verb("policy.apply", "Set all rules of the machine from a file."),
    "export": Verb("policy.export", "Print all rules of the machine as a file."),
    "clean": Verb("daemon.clean", "Find what is left behind, and remove it."),
    "audit": Verb("audit.audit", "Show, verify and export what was done and refused."),
    "token": Verb("access.token", "Make, list and revoke tokens for callers from other machines."),
    "login": Verb("access.login", "Store a token for a daemon on another machine."),
    "logout": Verb("access.logout", "Forget that token, and revoke it."),
    "daemon": Verb("daemon.daemon", "Serve shares of this machine's GPUs."),
    "config": Verb("daemon.config", "Show, check and find the configuration."),
    "simulate": Verb("gpus.simulate", "Run anything on a simulated NVIDIA machine."),
    "explain": Verb("explain", "Explain an error code."),
    "completion": Verb("completion", "Print a completion script for a shell."),
    "version": Verb("version", "Print the versions of client and daemon."),
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
        module = import_module(f"gpushare.cli.{VERBS[verb].module}")
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
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])

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
