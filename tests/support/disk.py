# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up under the state file."""

import sqlite3
from typing import Any

import pytest

_PLENTY = 1_000_000  # pages


class Disk:
    """Make it before the state file is opened: it limits what SQLite may write from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connections: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def opened(*arguments: Any, **options: Any) -> sqlite3.Connection:
            self._connections.append(connect(*arguments, **options))
            return self._connections[-1]

        monkeypatch.setattr(sqlite3, "connect", opened)

    def fill(self) -> None:
        """No file can grow."""
        for connection in self._connections:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def free(self) -> None:
        """There is room again."""
        for connection in self._connections:
            connection.execute(f"PRAGMA max_page_count = {_PLENTY}")
