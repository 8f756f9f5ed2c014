# SPDX-License-Identifier: Apache-2.0
"""Whether a command printed what a page shows.

A page shows one run. What differs from run to run is replaced on both sides, by these rules alone:

    user        the accounts of the pages, and the one that runs the tests
    number      of a process, a job, an event, a record of the audit log
    id          of a share or a token (12 hexadecimal digits), and longer hashes
    time        a date with a time of day
    age         `9s`, `2m 10s`, and measured durations: `0.1 s`; `idle 1m`, shown after a minute
    measured    shares of GPU time that were measured: `17.2 %`, and the first of `24 / 25%`, which
                may be missing
    secret      tokens, public keys
    folder      of a file that is named by its full path
    blanks      two or more, which align a table

What bash says about the end of jobs is left out, because it comes with any later prompt. A line
`...` stands for any number of lines, and `…` for any part of one.
"""

import difflib
import getpass
import re
from collections.abc import Sequence

_USERS = ("ana", "bo", "lin", "sam", "nobody", re.escape(getpass.getuser()))  # prose: allow
_RULES = [
    (re.compile(pattern), instead)
    for pattern, instead in (
        (rf"\b(?:{'|'.join(_USERS)})\b", "USER"),
        (r"\b(daemon|process|pid) \d+", r"\1 N"),
        (r"^\[\d+\] \d+$", "[N] N"),
        (r"\b(event=)\d+|^\d+(?= {2,}\d{4}-)", r"\1N"),
        (r"(\brecords +|\bsigned up to |jsonl:|record )\d+(?: to \d+)?", r"\1N"),
        (r"\b(?:[0-9a-f]{64}|[0-9a-f]{12})\b", "ID"),
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)?", "TIME"),
        (r"\b\d+[smhd](?: \d+[smh])?\b", "AGE"),
        (r"\b\d+(?:\.\d+)? (?:ms|s|min)\b", "AGE"),
        (r" +idle AGE$", ""),
        (r"\b\d+\.\d %", "PERCENT"),
        (r"\b(?:\d+ / )?(\d+%)", r"MEASURED / \1"),
        (r"\bgs_[0-9a-f]{12}_[\w-]+", "TOKEN"),
        (r"\bed25519:\S+", "KEY"),
        (r"(?<![\w.])/[^\s:;]*/(?=[^\s:;/])", "/"),
        (r"(?<=\S) {2,}", "  "),
    )
]
_JOB = re.compile(r"^\[\d+\][+ -]? +(Done|Terminated|Exit|Killed|Hangup|Running)\b.*$")
_ANY_LINES = re.compile(r"^(\.\.\.|…)$")


def alike(shown: Sequence[str], printed: Sequence[str]) -> bool:
    lines = _without_jobs(printed)
    pattern = "".join(_pattern(line) for line in _without_jobs(shown))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def difference(shown: Sequence[str], printed: Sequence[str]) -> str:
    """What the page shows and what was printed, as a diff."""
    both = (_without_jobs(shown), _without_jobs(printed))
    return "\n".join(difflib.unified_diff(*both, "the page", "the terminal", lineterm="", n=9))


def _without_jobs(lines: Sequence[str]) -> list[str]:
    kept = [_plain(line) for line in lines if not _JOB.match(line)]
    return [line for line in kept if line]


def _plain(line: str) -> str:
    for pattern, instead in _RULES:
        line = pattern.sub(instead, line.rstrip())
    return line


def _pattern(line: str) -> str:
    if _ANY_LINES.match(line):
        return r"(?:.*\n)*"
    return ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
