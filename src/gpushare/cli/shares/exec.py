# SPDX-License-Identifier: Apache-2.0
"""`gpushare exec`: run a program in an existing share."""

import os

import click

from gpushare.cli._connect import client
from gpushare.cli._options import affinity_option, share_argument
from gpushare.model.errors import UsageError
from gpushare.model.view import EnterRequest
from gpushare.session.gpu_choice import require_chosen

from ._launch import exec_program, find_program


@click.command("exec", context_settings={"allow_interspersed_args": False})
@share_argument
@affinity_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def exec_(share: str, command: tuple[str, ...], *, no_affinity: bool) -> None:
    """Run COMMAND in SHARE, alongside other programs in it.

    \b
    gpushare exec notebook -- jupyter lab
    gpushare exec train-1 -- nvidia-smi
    """
    argv = command[1:] if command[:1] == ("--",) else command
    if not argv:
        raise UsageError("no COMMAND to run", hint=f"gpushare exec {share} -- python")
    # Searched first: a program that does not exist should not count as a process of the share.
    path = find_program(argv[0])
    daemon = client()
    require_chosen(daemon, os.environ, share)
    request = EnterRequest(pid=os.getpid(), preload=os.environ.get("LD_PRELOAD", ""))
    exec_program(path, argv, daemon.enter(share, request), near=not no_affinity)
