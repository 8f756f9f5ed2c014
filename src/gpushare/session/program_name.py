# SPDX-License-Identifier: Apache-2.0
"""The name of a command: the script, not its interpreter."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath

_INTERPRETER = re.compile(r"(python|pypy)[0-9.]*|torchrun|(ba|da|z)?sh|perl|ruby|node|julia")
_NO_SCRIPT = {"-c", "-e"}  # the next argument is the program's text


def program_name(command: Sequence[str]) -> str:
    """`python -u train.py --lr 1` gives train.py, `python -m pkg.train` pkg.train."""
    first = PurePath(command[0]).name
    if not _INTERPRETER.fullmatch(first):
        return first
    return PurePath(next(_scripts(command[1:]), first)).name


def _scripts(arguments: Sequence[str]) -> Iterator[str]:
    """The module after -m, and words with a suffix that are not options."""
    for before, word in zip(("", *arguments), arguments, strict=False):
        if word in _NO_SCRIPT:
            return
        if before == "-m" or (not word.startswith("-") and PurePath(word).suffix):
            yield word
