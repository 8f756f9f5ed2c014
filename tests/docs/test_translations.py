# SPDX-License-Identifier: Apache-2.0
"""A page and its Chinese twin state the same figures.

`tests/test_repository.py` compares their headings, commands and links.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from support.machine import ROOT

NOT_TEXT = re.compile(r"```.*?```|<!--.*?-->|\]\([^)]*\)", re.DOTALL)
FIGURE = re.compile(r"(?<![\w.])[\u2212-]?\d+(?:\.\d+)?")
TWINS = sorted([ROOT / "README.zh-CN.md", *(ROOT / "docs").rglob("*.zh-CN.md")])


def sections(page: Path) -> list[str]:
    text = NOT_TEXT.sub("", page.read_text("utf-8"))
    return re.split(r"^#+ ", text, flags=re.MULTILINE)


def figures(section: str) -> Counter[str]:
    """The numbers of a section; 140,000 is the number that the Chinese page writes as 140000."""
    return Counter(FIGURE.findall(re.sub(r"(?<=\d),(?=\d{3}\b)", "", section)))


def cells(section: str) -> list[int]:
    """How many cells each row of its tables has, less one."""
    return [row.count(" | ") for row in re.findall(r"^\|.*\|$", section, re.MULTILINE)]


@pytest.mark.parametrize("twin", TWINS, ids=lambda path: path.name)
def test_both_languages_state_the_same_figures_in_tables_of_one_shape(twin: Path) -> None:
    english = sections(twin.with_name(twin.name.replace(".zh-CN", "")))
    chinese = sections(twin)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        assert figures(ours) == figures(theirs), ours.splitlines()[0]
        assert cells(ours) == cells(theirs), ours.splitlines()[0]
