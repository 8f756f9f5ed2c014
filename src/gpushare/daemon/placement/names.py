# SPDX-License-Identifier: Apache-2.0
"""Names of shares: as requested, or derived from the program. And the other texts of a request."""

import re
from collections.abc import Collection
from itertools import count
from pathlib import PurePath

from gpushare.config.printable import printable
from gpushare.model.errors import BadSpecError
from gpushare.model.ids import reads_as_id
from gpushare.model.spec import ShareSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_STEM = 40
_LONGEST_WORD, _LONGEST_VALUE, _MOST_LABELS = 63, 255, 64


def checked(name: str) -> str:
    """Raises BadSpecError."""
    if not _NAME.fullmatch(name):
        raise BadSpecError(
            f"cannot name a share {name!r}",
            "a name has up to 63 letters, digits, dots, dashes and underscores",
        )
    if reads_as_id(name):
        raise BadSpecError(
            f"cannot name a share {name!r}",
            "2 to 12 hexadecimal digits read as an id, or as the beginning of one",
            f"add another letter: {name}-x",
        )
    return name


def after_program(program: str, taken: Collection[str]) -> str:
    """`train.py` gives train, then train-2 and train-3 while the earlier ones live.

    `taken`: names of the living shares of the same user, so that an automatic name shows nothing
    about others.
    """
    stem = _FOREIGN.sub("-", PurePath(program).stem).strip("-._")[:_LONGEST_STEM] or "share"
    if reads_as_id(stem):
        stem = f"program-{stem}"
    if stem not in taken:
        return stem
    return next(name for n in count(2) if (name := f"{stem}-{n}") not in taken)


def check_texts(spec: ShareSpec) -> None:
    """Labels and gangs are shown to others; raises BadSpecError for what cannot be shown."""
    if spec.gang is not None:
        _check("the gang", spec.gang.name, _LONGEST_WORD)
    for what, pairs in (("labels", spec.labels), ("near", spec.near), ("apart", spec.apart)):
        if len(pairs) > _MOST_LABELS:
            raise BadSpecError(f"{len(pairs)} {what} are too many", f"at most {_MOST_LABELS}")
        for key, value in pairs.items():
            _check(f"a key of {what}", key, _LONGEST_WORD)
            _check(f"a value of {what}", value, _LONGEST_VALUE)


def _check(what: str, text: str, longest: int) -> None:
    if len(text) > longest or not text.isprintable():
        raise BadSpecError(
            f"{what} cannot be {printable(text, longest=longest)!r}",
            f"it has at most {longest} characters and no control characters",
        )
