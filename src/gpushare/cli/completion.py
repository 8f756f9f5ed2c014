# SPDX-License-Identifier: Apache-2.0
"""`gpushare completion`: shell completion of commands, share names, GPUs, files and programs."""

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    It completes commands, options, names of shares, GPUs and files. After `run … --`, `exec SHARE
    --` and `simulate PROFILE --` the program and its arguments are completed as the shell does.

    \b
    source <(gpushare completion bash)
    gpushare completion zsh > "${fpath[1]}/_gpushare"
    gpushare completion fish > ~/.config/fish/completions/gpushare.fish
    """
    from click.shell_completion import get_completion_class  # noqa: PLC0415 (start-up time)

    from ._completion import use  # noqa: PLC0415 (start-up time)

    use()
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "gpushare", "_GPUSHARE_COMPLETE")
    click.echo(script.source_template % script.source_vars())
