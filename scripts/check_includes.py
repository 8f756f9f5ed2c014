# SPDX-License-Identifier: Apache-2.0
"""Check the `#include "..."` lines of the native trees: downwards only, and no circles.

A tree is divided into rooms, which form a ladder from the lowest to the highest step. A file
may include files of its own room and of rooms on lower steps. Rooms on the same step do not know
each other. A file belongs to the most deeply nested room that holds it. Tables (`.def`) are data,
which every room may include. A header and the source of the same name count as one file: such files
may not include each other in a circle.
"""

import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1] / "native"
TOP = "."
Ladder = tuple[tuple[str, ...], ...]
LADDERS: Mapping[str, Ladder] = {
    "guard": (
        ("base",),
        ("share",),
        ("driver",),
        ("charge",),
        ("swap/store",),
        ("swap/blocks",),
        ("swap/suspend",),
        ("schedule/process",),
        ("schedule/timing",),
        ("schedule/decide",),
        ("schedule",),
        ("hooks/setup",),
        ("hooks/memory",),
        ("hooks/execution",),
        (TOP,),
    ),
    "probe": (("base",), ("around",), (TOP,)),
    "simgpu": (
        ("machine",),
        ("cuda/core", "nvml", "mps"),
        ("cuda/memory", "cuda/symbols", "mps/control", "mps/server"),
        ("cuda/graph", "mps/dialect"),
        ("cuda/execution", "mps/daemon"),
        ("cuda/stream",),
        ("cuda/alloc", "cuda/code"),
        ("cuda/context",),
        ("cuda/launch", "cuda/runtime"),
    ),
}
_INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')


@dataclass(frozen=True)
class Include:
    """One line of a tree; both paths are relative to the tree."""

    tree: str
    source: PurePosixPath
    line: int
    target: PurePosixPath

    def __str__(self) -> str:
        return f"{self.tree}/{self.source}:{self.line}: includes {self.target}"


def check(root: Path, ladders: Mapping[str, Ladder]) -> list[str]:
    """What is wrong below `root`, one message for each; a tree that does not exist has no files."""
    return [message for tree, ladder in ladders.items() for message in _wrong(root, tree, ladder)]


def _wrong(root: Path, tree: str, ladder: Ladder) -> Iterator[str]:
    steps = {room: step for step, rooms in enumerate(ladder) for room in rooms}
    files = sorted(path for path in (root / tree).rglob("*") if path.suffix in {".c", ".h"})
    known = [PurePosixPath(path.relative_to(root / tree).as_posix()) for path in files]
    yield from (
        f"{tree}/{path}: its folder is no room of the ladder"
        for path in known
        if _room(path, steps) is None
    )
    includes = [found for path in known for found in _includes(root, tree, path)]
    for include in includes:
        below, above = _room(include.target, steps), _room(include.source, steps)
        if below and above and below != above and steps[below] >= steps[above]:
            yield f"{include}: {above} may include only rooms below it, not {below}"
    yield from (f"{tree}: {circle}" for circle in _circles(includes))


def _room(path: PurePosixPath, rooms: Mapping[str, int]) -> str | None:
    folders = path.parent, *path.parent.parents[:-1]
    return next((str(folder) for folder in folders if str(folder) in rooms), None)


def _includes(root: Path, tree: str, source: PurePosixPath) -> Iterator[Include]:
    lines = (root / tree / source).read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not (match := _INCLUDE.match(line)):
            continue
        for path in (source.parent / match[1], match[1]):
            target = PurePosixPath(posixpath.normpath(path))
            if target.suffix in {".c", ".h"} and (root / tree / target).is_file():
                yield Include(tree, source, number, target)
                break


def _circles(includes: list[Include]) -> Iterator[str]:
    """The first circle that a depth-first walk finds, if there is any."""
    edges: dict[PurePosixPath, dict[PurePosixPath, Include]] = {}
    for include in includes:
        here, there = include.source.with_suffix(""), include.target.with_suffix("")
        if here != there:
            edges.setdefault(here, {}).setdefault(there, include)
    done: set[PurePosixPath] = set()
    for start in edges:
        if circle := _circle_from(start, edges, done):
            steps = [str(edges[a][b]) for a, b in pairwise(circle)]
            yield "files include each other in a circle:\n  " + "\n  ".join(steps)
            return


def _circle_from(
    start: PurePosixPath,
    edges: Mapping[PurePosixPath, Mapping[PurePosixPath, Include]],
    done: set[PurePosixPath],
) -> list[PurePosixPath]:
    way, todo = [start], [iter(edges.get(start, {}))]
    while todo:
        target = next(todo[-1], None)
        if target is None:
            done.add(way.pop())
            todo.pop()
        elif target in way:
            return [*way[way.index(target) :], target]
        elif target not in done:
            way.append(target)
            todo.append(iter(edges.get(target, {})))
    return []


def main() -> int:
    wrong = check(ROOT, LADDERS)
    summary = f"includes: {', '.join(LADDERS)} keep their ladders, without circles"
    sys.stdout.write("\n".join(wrong or [summary]) + "\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
