# SPDX-License-Identifier: Apache-2.0
"""Keys that were renamed: files and variables may use the former name for one release."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

FORMER = {"gate_slice": "gate_timeslice"}
FORMER_VARIABLES = {new: f"GPUSHARE_{old.upper()}" for old, new in FORMER.items()}


def renamed(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table with the names of today; where it has both, the new one counts."""
    former = {new: table[old] for old, new in FORMER.items() if old in table}
    return former | {key: value for key, value in table.items() if key not in FORMER}


def warnings(tables: Mapping[Path, Iterable[str]], env: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each former name in use."""
    for path, table in tables.items():
        for key in FORMER.keys() & set(table):
            yield f"{path}: {key} is named {FORMER[key]} now; the next release refuses {key}"
    for key, variable in FORMER_VARIABLES.items():
        if env.get(variable):
            new = f"GPUSHARE_{key.upper()}"
            yield f"{variable} is named {new} now; the next release ignores {variable}"
