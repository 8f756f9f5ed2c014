# SPDX-License-Identifier: Apache-2.0
"""Edits as a process on this host reads them: its environment."""

from collections.abc import Mapping

from gpushare.model.edits import Edits
from gpushare.model.value import Value


class EnvironmentChange(Value):
    """What a process does to its own environment before it becomes the program."""

    env: dict[str, str]
    unset: tuple[str, ...] = ()


def environment_change(edits: Edits, preload: str = "") -> EnvironmentChange:
    """`preload` is the LD_PRELOAD that the process has already; ours goes before it.

    LD_PRELOAD is separated by colons or spaces (ld.so(8)); a library is named once.
    """
    own = [path for path in preload.replace(":", " ").split() if path not in edits.preload]
    libraries = ":".join((*edits.preload, *own))
    return EnvironmentChange(
        env={**edits.env, **({"LD_PRELOAD": libraries} if edits.preload else {})},
        unset=tuple(name for name in edits.unset if name not in edits.env),
    )


def environment(edits: Edits, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with the edits applied: the whole environment of the program."""
    change = environment_change(edits, base.get("LD_PRELOAD", ""))
    kept = {name: value for name, value in base.items() if name not in change.unset}
    return {**kept, **change.env}
