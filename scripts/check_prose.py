# SPDX-License-Identifier: Apache-2.0
"""Checks what people read (pages, docstrings, comments, messages) against scripts/prose.toml.

A file's prose is its text with everything else blanked out, so line numbers stay. Pages lose code
blocks, `code` and link targets: they quote the program, whose strings are checked at their source.
Source files keep only comments and string literals. A rule is a regular expression; a blank in it
matches any white space and comment marks, so a phrase is found across lines.

A line that contains `prose: allow` is not checked. Paths under `pending` are not checked yet.
"""

import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
ALLOWED = "prose: allow"
NOT_PROSE = re.compile(
    r"^(```|~~~).*?^\1|`[^`\n]*\n?[^`\n]*`|\]\([^)\s]*\)", re.DOTALL | re.MULTILINE
)
C_PROSE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
PYTHON_PROSE = {
    number
    for name in ("COMMENT", "STRING", "FSTRING_MIDDLE")
    if (number := getattr(tokenize, name, None)) is not None
}
BRACES = re.compile(r"\{[^{}\n]*\}")
TABLES = {"english": r"\b", "terms": r"\b", "chinese": ""}
MARKS = re.compile(r"^[ \t]*(?:#|//|/?\*)|\\\n", re.MULTILINE)


class Rules(NamedTuple):
    pattern: re.Pattern[str]  # all of them; which one it was is found by the parts
    parts: list[tuple[re.Pattern[str], str]]

    def instead(self, words: str) -> str:
        return next(instead for part, instead in self.parts if part.fullmatch(words))


class Hit(NamedTuple):
    path: str
    line: int
    words: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: '{self.words}': write {self.instead}"


def blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def page_prose(text: str) -> str:
    return NOT_PROSE.sub(lambda found: blank(found[0]), text)


def only(text: str, spans: Iterator[tuple[int, int]]) -> str:
    """The text with all but these spans blanked out."""
    kept, end = [], 0
    for first, last in spans:
        kept += [blank(text[end:first]), text[first:last]]
        end = last
    return "".join([*kept, blank(text[end:])])


def python_spans(text: str) -> Iterator[tuple[int, int]]:
    starts = [0, 0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in PYTHON_PROSE:
            yield starts[token.start[0]] + token.start[1], starts[token.end[0]] + token.end[1]


def python_prose(text: str) -> str:
    """Without what f-strings and formats hold in braces, which is code."""
    return BRACES.sub(lambda found: blank(found[0]), only(text, python_spans(text)))


def c_prose(text: str) -> str:
    return only(text, (found.span() for found in C_PROSE.finditer(text)))


PROSE: dict[str, Callable[[str], str]] = {
    ".md": page_prose,
    ".py": python_prose,
    ".c": c_prose,
    ".h": c_prose,
    ".def": c_prose,
}


def prose_of(suffix: str, text: str) -> str:
    prose = PROSE.get(suffix, str)(text)
    return MARKS.sub(lambda mark: blank(mark[0]), prose).lower()


def rules_of(table: dict[str, str], edge: str) -> Rules:
    """The rules of a language, whose words have `edge` before and after them."""
    parts = {words.replace(" ", r"\s+"): instead for words, instead in table.items()}
    return Rules(
        re.compile(f"{edge}(?:{'|'.join(parts)}){edge}"),
        [(re.compile(words), instead) for words, instead in parts.items()],
    )


def hits(path: str, text: str, rules: Rules) -> Iterator[Hit]:
    """What the rules find in a file; code is only taken apart when something is found in it."""
    if not rules.pattern.search(prose_of("", text)):
        return
    prose, lines = prose_of(Path(path).suffix, text), text.splitlines()
    for found in rules.pattern.finditer(prose):
        line = prose.count("\n", 0, found.start())
        if ALLOWED not in lines[line]:
            words = " ".join(found[0].split())
            yield Hit(path, line + 1, words, rules.instead(found[0]))


def under(path: str, folders: list[str]) -> bool:
    return any(
        path == folder or path.startswith(f"{folder}/") or folder == "." for folder in folders
    )


def files(settings: dict[str, Any]) -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *settings["read"]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(set(listed.stdout.split("\0")) - {""}):
        if Path(name).suffix in settings["kinds"] and (ROOT / name).is_file():
            yield name


def check(settings: dict[str, Any], names: list[str]) -> list[Hit]:
    found: list[Hit] = []
    for table, edge in TABLES.items():
        rules, excepted = rules_of(settings[table], edge), settings["except"].get(table, [])
        for name in names:
            if not under(name, excepted):
                found += hits(name, (ROOT / name).read_text("utf-8"), rules)
    return found


def main(arguments: list[str]) -> int:
    """Checks the paths that are named, `.` for all; without any, all that are not pending."""
    settings = tomllib.loads((ROOT / "scripts/prose.toml").read_text("utf-8"))
    named = [argument.rstrip("/") for argument in arguments]
    skipped = settings["skip"] if named else settings["skip"] + settings["pending"]
    names = [name for name in files(settings) if not under(name, skipped)]
    found = check(settings, [name for name in names if not named or under(name, named)])
    print(*sorted(found), sep="\n", end="\n" if found else "")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
