# SPDX-License-Identifier: Apache-2.0
"""Tables of Markdown."""

from collections.abc import Iterable, Sequence

NOTHING = "-"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str | None:
    """None without rows."""
    body = list(rows)
    lines = [head, ["---"] * len(head), *body]
    text = "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
    return text if body else None
