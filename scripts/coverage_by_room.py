# SPDX-License-Identifier: Apache-2.0
"""Prints what part of the statements of each room of `gpushare` the tests ran."""

import io
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from coverage import Coverage

ROOT = Path("src/gpushare")


def main() -> None:
    measured = Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        measured.json_report(outfile=str(report))
        files = json.loads(report.read_text("utf-8"))["files"]
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, found in files.items():
        path = Path(name).resolve().relative_to(ROOT.resolve())
        for room in (path.parts[0] if len(path.parts) > 1 else "gpushare", "total"):
            rooms[room][0] += found["summary"]["num_statements"]
            rooms[room][1] += found["summary"]["covered_lines"]
    sys.stdout.write(table(rooms))


def table(rooms: dict[str, list[int]]) -> str:
    lines = io.StringIO()
    lines.write(f"{'ROOM':<14}{'STATEMENTS':>12}{'RUN':>8}\n")
    for room, (statements, run) in sorted(rooms.items(), key=lambda item: item[0] == "total"):
        lines.write(f"{room:<14}{statements:>12}{run / max(1, statements):>8.1%}\n")
    return lines.getvalue()


if __name__ == "__main__":
    main()
