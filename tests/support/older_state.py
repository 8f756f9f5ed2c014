# SPDX-License-Identifier: Apache-2.0
"""State files as earlier releases wrote them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path


@contextmanager
def older_state(folder: Path, schema: int) -> Iterator[sqlite3.Connection]:
    """A state file with the first `schema` steps; what the block writes is committed."""
    steps = sorted((files("gpushare.store") / "schema").iterdir(), key=lambda step: step.name)
    with closing(sqlite3.connect(folder / "state.db")) as database, database:
        for step in steps[:schema]:
            database.executescript(step.read_text())
        database.execute(f"PRAGMA user_version = {schema}")
        yield database
