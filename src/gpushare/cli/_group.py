# SPDX-License-Identifier: Apache-2.0
"""The commands of `gpushare`. Each is imported only when it runs, to keep start-up fast."""

from collections import UserDict
from importlib import import_module
from typing import Any, NamedTuple

import click

from ._everywhere import also_after
from ._strict import refuse_empty, refuse_empty_options


class Verb(NamedTuple):
    """Where a command is, as a module of `gpushare.cli`, and its line in the list of commands."""

    module: str
    summary: str


VERBS = {
    "run": Verb("shares.run", "Run a program in a share of a GPU."),
    "create": Verb("shares.create", "Create a share without running a program in it."),
    "rm": Verb("shares.rm", "Release shares."),
    "ps": Verb("shares.ps", "List shares and the queue."),
    "show": Verb("shares.show", "Show the details of a share."),
    "update": Verb("shares.update", "Change the limits, priority or time of a share."),
    "suspend": Verb("shares.suspend", "Move shares off the GPU and stop their programs."),
    "resume": Verb("shares.resume", "Move suspended shares back to the GPU."),
    "migrate": Verb("shares.migrate", "Move a share to another GPU."),
    "exec": Verb("shares.exec", "Run a program in an existing share."),
    "enter": Verb("shares.enter", "Add a running process to a share."),
    "env": Verb("shares.env", "Print the environment of a share for a shell."),
    "wait": Verb("shares.wait", "Wait until a share reaches a state."),
    "logs": Verb("shares.logs", "Show the output of a program in the background."),
    "verify": Verb("shares.verify", "Test whether the limits of a share hold."),
    "gpus": Verb("gpus.gpus", "List GPUs and the mechanisms they support."),
    "cordon": Verb("gpus.cordon", "Keep new shares off GPUs."),
    "drain": Verb("gpus.drain", "Cordon GPUs and have the shares there leave."),
    "uncordon": Verb("gpus.uncordon", "Offer cordoned GPUs to new shares again."),
    "tenant": Verb("policy.tenant", "Manage tenants: users, groups and projects with quotas."),
    "quota": Verb("policy.quota", "Show and change the quotas of tenants."),
    "apply": Verb("policy.apply", "Set the policy of the machine from a file."),
    "export": Verb("policy.export", "Print the policy of the machine as a file."),
    "clean": Verb("daemon.clean", "List and remove leftovers of ended shares."),
    "backup": Verb("daemon.backup", "Copy the state of the daemon to a file."),
    "restore": Verb("daemon.restore", "Replace the state of the daemon by a backup."),
    "audit": Verb("audit.audit", "Show, verify and export the audit log."),
    "token": Verb("access.token", "Manage access tokens for remote callers."),
    "login": Verb("access.login", "Log in to a daemon on another machine."),
    "logout": Verb("access.logout", "Log out: revoke and delete the stored token."),
    "daemon": Verb("daemon.daemon", "Run the daemon that manages this machine's GPUs."),
    "config": Verb("daemon.config", "Show and check the configuration."),
    "simulate": Verb("gpus.simulate", "Run a command on a simulated NVIDIA machine."),
    "explain": Verb("explain", "Explain an error code."),
    "completion": Verb("completion", "Print a completion script for a shell."),
    "version": Verb("version", "Print the versions of client, daemon and driver."),
}
ALIASES = {"ls": "ps", "list": "ps", "remove": "rm", "inspect": "show", "undrain": "uncordon"}


class Verbs(UserDict[str, click.Command]):
    """The commands by name; reading one imports its module."""

    def __init__(self) -> None:
        super().__init__()
        # click looks names up without using the command; placeholders avoid the imports.
        self.data = dict.fromkeys(VERBS, click.Command(None))

    def __getitem__(self, verb: str) -> click.Command:
        if verb not in VERBS:
            raise KeyError(verb)
        module = import_module(f"gpushare.cli.{VERBS[verb].module}")
        # `exec` is a function of Python, so the command's function has another name.
        command = getattr(module, f"{verb}_" if verb == "exec" else verb)
        assert isinstance(command, click.Command)
        return refuse_empty(also_after(command))


class VerbGroup(click.Group):
    """Lists the commands in the order of `VERBS` and also finds them by their aliases."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, commands=Verbs())
        refuse_empty_options(self)

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

            from ._other_words import other_word  # noqa: PLC0415 (start-up time)

            if answer := other_word(name):
                raise answer
            near = get_close_matches(name, [*VERBS, *ALIASES], 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no command {name!r}.{hint}", context)
        return super().resolve_command(context, args)
