# SPDX-License-Identifier: Apache-2.0
"""What a page has its reader do.

A `console` block contains commands behind `$ ` or `# ` and below each what it prints; an `sh` block
contains commands only. A block of another language whose paragraph ends with the name of a file
(`policy.toml`:) is written to that file. Comments that readers do not see say the rest:

    <!-- typed on h200-1           a new shell on a simulated machine with a running daemon, where
    $ gpushare create ...          these commands were typed; the folder has programs of that kind
    -->
    <!-- typed on h200-1 without a daemon -->
    <!-- typed in a clone -->                a new shell in a fresh clone of the repository
    <!-- typed as well             these commands too, which readers do not see
    $ gpushare apply ...
    -->
    <!-- typed with openssl -->              the next block, where that program is installed
    <!-- not typed: it needs root -->        the next block is left out, for this reason
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

A_CLONE = ""
_PART = re.compile(
    r"^(?P<margin> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$|<!-- (?P<remark>.*?)\s*-->",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"`([~\w./-]+\.\w+)`:\n*\Z")
_PROMPTS = ("$ ", "# ")
_TYPED = frozenset({"console", "sh"})


@dataclass(frozen=True)
class Shell:
    """A session begins: on a simulated machine of `profile`, after the commands of `given`."""

    profile: str
    given: tuple[str, ...] = ()
    daemon: bool = False


@dataclass(frozen=True)
class File:
    """The reader writes a file."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """The reader types a command; `shown` is None where the page leaves all output out."""

    line: int
    text: str
    shown: tuple[str, ...] | None


@dataclass(frozen=True)
class Omitted:
    """A block that is not typed, and why."""

    line: int
    reason: str


Part = Shell | File | Command | Omitted


def parts(page: Path) -> Iterator[Part]:
    """Everything that a reader of the page does, in its order."""
    text = page.read_text("utf-8")
    remark = ""
    for found in _PART.finditer(text):
        if found["remark"] is not None:
            remark = found["remark"]
            yield from _before(remark, _line(text, found))
            continue
        yield from _block(found, text, remark)
        remark = ""


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _before(remark: str, line: int) -> Iterator[Part]:
    """What a remark has typed before the next block."""
    first, *others = remark.splitlines()
    commands = [text.removeprefix("$ ") for text in others]
    if first == "typed in a clone":
        yield Shell(A_CLONE)
    elif place := re.fullmatch(r"typed on ([\w-]+)( without a daemon)?", first):
        yield Shell(place[1], tuple(commands), daemon=place[2] is None)
    elif first == "typed as well":
        yield from (Command(line, text, None) for text in commands)


def _block(found: re.Match[str], page: str, remark: str) -> Iterator[Part]:
    line = _line(page, found) + 1
    lines = [row.removeprefix(found["margin"]) for row in found["text"].splitlines()]
    if found["language"] not in _TYPED:
        name = _FILE.search(page[: found.start()])
        yield from [File(name[1], "\n".join([*lines, ""]))] if name else []
    elif remark.startswith("not typed: "):
        yield Omitted(line, remark.removeprefix("not typed: "))
    elif (needed := remark.removeprefix("typed with ")) == remark or shutil.which(needed):
        yield from (_dialogue if found["language"] == "console" else _script)(line, lines)


def _dialogue(line: int, lines: list[str]) -> Iterator[Command]:
    """The commands of a console block; one that shows no output at all shows commands only."""
    starts = _starts(lines)
    assert starts[:1] == [0], f"line {line}: a console block begins with `$ ` or `# `"
    pieces = [lines[a:b] for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    split = [_whole(piece) for piece in pieces]
    silent = not any(shown for _, shown in split)
    for start, (command, shown) in zip(starts, split, strict=True):
        yield Command(line + start, command[2:], None if silent else tuple(shown))


def _starts(lines: list[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if line.startswith(_PROMPTS)]


def _whole(lines: list[str]) -> tuple[str, list[str]]:
    """A command with the lines that continue it, and what is below."""
    count = 1
    while lines[count - 1].endswith("\\") and count < len(lines):
        count += 1
    return "\n".join(lines[:count]), lines[count:]


def _script(line: int, lines: list[str]) -> Iterator[Command]:
    """The commands of an sh block, each as soon as bash finds it complete."""
    start = 0
    for end in range(1, len(lines) + 1):
        command = "\n".join(lines[start:end])
        if end == len(lines) or _complete(command):
            yield Command(line + start, command, None)
            start = end


def _complete(command: str) -> bool:
    return (
        subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode
        == 0
    )
