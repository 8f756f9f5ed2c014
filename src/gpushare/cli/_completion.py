# SPDX-License-Identifier: Apache-2.0
"""Completion for shells: as click does it, and programs as the shell itself completes them.

In the arguments of `run`, `exec` and `simulate` a program begins at some word. click would complete
nothing there, or options of gpushare. The answer is an item of the type `command` instead, whose
value is the number of that word, and the script hands the rest of the line to the shell.
"""

from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    _resolve_context,
    _resolve_incomplete,
    add_completion_class,
)

_PROGRAM = "command"  # the argument that is a program and its arguments
_PLAIN_BASH = "        elif [[ $type == 'plain' ]]; then\n"
_COMMAND_BASH = """\
        elif [[ $type == 'command' ]]; then
            %(complete_func)s_program $value
"""
_PROGRAM_BASH = """\
%(complete_func)s_program() {
    local IFS=$' \\t\\n'

    COMPREPLY=()
    if declare -F _comp_command_offset > /dev/null; then
        _comp_command_offset $1
    elif declare -F _command_offset > /dev/null; then
        _command_offset $1
    elif [[ $COMP_CWORD == $1 && $2 != */* ]]; then
        mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}" | sort -u)
    else
        compopt -o default
    fi
}

"""
_FILE_ZSH = """        elif [[ "$type" == "file" ]]; then\n"""
_COMMAND_ZSH = """\
        elif [[ "$type" == "command" ]]; then
            shift $key words
            (( CURRENT -= key ))
            _normal
            return
"""
_FILE_FISH = """        else if test $metadata[1] = "file";\n"""
_COMMAND_FISH = """\
        else if test $metadata[1] = "command";
            set -l words (commandline -opc);
            set -l first (math $metadata[2] + 1);
            set words $words[$first..-1];
            complete -C (string join -- " " (string escape -- $words) (commandline -ct));
"""


class _Programs(ShellComplete):
    """Completes the words of a program by the shell."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        context = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
        words = _program_words(context)
        if words:
            # Not click's choice: it would take an option of the program for one of gpushare.
            return [_program(len(args) + 1 - len(words))]
        wanted, incomplete = _resolve_incomplete(context, args, incomplete)
        if _takes_program(context) and getattr(wanted, "name", "") == _PROGRAM:
            return [_program(len(args) + 1)]
        return wanted.shell_complete(context, incomplete)


class _Bash(_Programs, BashComplete):
    source_template = _PROGRAM_BASH + BashComplete.source_template.replace(
        _PLAIN_BASH, _COMMAND_BASH + _PLAIN_BASH
    )


class _Zsh(_Programs, ZshComplete):
    source_template = ZshComplete.source_template.replace(_FILE_ZSH, _COMMAND_ZSH + _FILE_ZSH)


class _Fish(_Programs, FishComplete):
    source_template = FishComplete.source_template.replace(_FILE_FISH, _COMMAND_FISH + _FILE_FISH)


SHELLS = ("bash", "zsh", "fish")


def use() -> None:
    """Use these classes in place of click's."""
    for shell, kind in zip(SHELLS, (_Bash, _Zsh, _Fish), strict=True):
        add_completion_class(kind, shell)


def _program(word: int) -> CompletionItem[Any]:
    return CompletionItem(str(word), type="command")


def _takes_program(context: click.Context) -> bool:
    return not context.command.context_settings.get("allow_interspersed_args", True)


def _program_words(context: click.Context) -> tuple[str, ...]:
    """Those of the program that are complete; none before its first."""
    if not _takes_program(context):
        return ()
    words: tuple[str, ...] = context.params.get(_PROGRAM) or ()
    return words[1:] if words[:1] == ("--",) else words
