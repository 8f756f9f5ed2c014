# SPDX-License-Identifier: Apache-2.0
"""Fills the tables and figures of the documentation from results: `python -m benchmarks.report`.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`, a figure in a sentence between
`<!-- figure: WORDS -->` and `<!-- end -->`. With `--check` nothing is written: pages that differ
from the results, and figures of README that name no result, are listed.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import ci_figures, earlier_tables, readme_figures, without_tables
from benchmarks import colocation_tables as sharing
from benchmarks import limit_tables as limits
from benchmarks import move_tables as moves
from benchmarks.results_of import DEFAULT, HERE
from benchmarks.runs import index

ROOT = HERE.parent
INDEX = "runs.json"
PAGES = ("README.md", "README.zh-CN.md", "benchmarks/README.md", "docs/*.md", "docs/*/*.md")
MARKED = re.compile(r"(<!-- (table|figure): ([^>]+?) -->\n?).*?(<!-- end -->)", re.DOTALL)
# Sections of README in which a figure has to be a result, by their first words.
TRACED = ("## A service and a training job", "## Figures", "## 在线服务", "## 数据")
UNITS = "ms|µs|us|s|%|[KMG]i?B(?:/s)?|times|points|倍|个百分点"
FIGURE = re.compile(rf"(?<![\w.])\d[\d.,]* ?(?:{UNITS})(?!\w)")
QUOTED = re.compile(r"^(```).*?^\1|`[^`\n]*`|\]\([^)\s]*\)", re.DOTALL | re.MULTILINE)

TABLES: dict[str, Callable[[Path], str | None]] = {
    "headline": sharing.headline_table,
    "headline_zh": sharing.headline_zh_table,
    "goals": sharing.goals_table,
    "goals_zh": sharing.goals_zh_table,
    "colocation": sharing.colocation_table,
    "solo": sharing.solo_table,
    "figures": readme_figures.figures_table,
    "figures_zh": readme_figures.figures_zh_table,
    "ci_figures": ci_figures.ci_figures_table,
    "ci_figures_zh": ci_figures.ci_figures_zh_table,
    "load": ci_figures.load_table,
    "caps": limits.caps_table,
    "caps_peers": limits.caps_peers_table,
    "leaks": limits.leaks_table,
    "race": limits.race_table,
    "overhead": limits.overhead_table,
    "suspend": moves.suspend_table,
    "cycles": moves.cycles_table,
    "overcommit": moves.overcommit_table,
    "tenants": moves.tenants_table,
    "reclaim": moves.reclaim_table,
    "kernels": without_tables.kernels_table,
    "earlier": earlier_tables.earlier_table,
    "crowd": without_tables.crowd_table,
    "peers": without_tables.peers_table,
}


def value(kind: str, words: str, folder: Path) -> str | None:
    """What stands between the marks; None: nothing was measured."""
    if kind == "figure":
        named = words in readme_figures.NAMED
        return (readme_figures if named else sharing).figure(folder, words)
    return TABLES[words](folder) if words in TABLES else None


def filled(text: str, folder: Path) -> str:
    """What has no result is emptied: no figure outlives its file."""

    def one(found: re.Match[str]) -> str:
        if found[2] == "table" and found[3] not in TABLES:
            return found[0]  # of another report: benchmarks/week_report.py
        nothing = "not measured\n" if found[2] == "table" else "not measured"
        return f"{found[1]}{value(found[2], found[3], folder) or nothing}{found[4]}"

    return MARKED.sub(one, text)


def pages() -> Iterator[Path]:
    for pattern in PAGES:
        yield from sorted(ROOT.glob(pattern))


def untraced(text: str) -> list[str]:
    """Figures in the sections TRACED that come from no result."""
    found = []
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        if section.startswith(TRACED):
            bare = QUOTED.sub("", MARKED.sub("", section))
            found += [match[0] for match in FIGURE.finditer(bare)]
    return found


def check(folder: Path) -> list[str]:
    listed = folder / INDEX
    same = listed.exists() and listed.read_text() == index(folder)
    problems = [] if same else [f"{listed} does not list the results: make bench-report"]
    for page in pages():
        text, name = page.read_text(), page.relative_to(ROOT)
        if filled(text, folder) != text:
            problems.append(f"{name} is not what the results say: make bench-report")
        if page.parent == ROOT or page.name == "alternatives.md":
            problems += [f"{name}: '{each}' names no result" for each in untraced(text)]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="write nothing; 1: something differs")
    options = parser.parse_args()
    if options.check:
        problems = check(options.folder)
        print("\n".join(problems), file=sys.stderr)
        return 1 if problems else 0
    (options.folder / INDEX).write_text(index(options.folder))
    for page in pages():
        before = page.read_text()
        if (after := filled(before, options.folder)) != before:
            page.write_text(after)
            print(page.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
