# SPDX-License-Identifier: Apache-2.0
"""The README's tour, the tutorial and the how-tos do what they show.

Each console block is typed into a shell, as a reader would, and what is printed is compared with
the page. `support.typed.pages` has the remarks by which a page says where its commands are typed,
and `support.typed.compare` which differences do not count.
"""

from pathlib import Path

import pytest

from support.machine import ROOT
from support.typed.pages import Command, Omitted, parts
from support.typed.session import complaints

DOCS = ROOT / "docs"
PAGES = [
    page
    for page in [ROOT / "README.md", *DOCS.glob("tutorial/*.md"), *DOCS.glob("how-to/*.md")]
    if not page.name.endswith(".zh-CN.md")
]
TYPED = [page for page in PAGES if any(isinstance(part, Command) for part in parts(page))]
MOST_OMITTED = 18
# Each takes several machines, or waits for the daemon's passes: too long for `make test`.
LONG = {"audit", "check-a-limit", "upkeep"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=[pytest.mark.system] if page.stem in LONG else [])
        for page in TYPED
    ],
)
def test_what_a_page_shows_is_what_its_commands_print(page: Path, short_path: Path) -> None:
    found = complaints(list(parts(page)), short_path)
    assert not found, "\n".join(f"{page.name}:{text}" for text in found)


def test_few_blocks_are_not_typed_and_each_says_why() -> None:
    omitted = [part for page in PAGES for part in parts(page) if isinstance(part, Omitted)]
    assert len(omitted) <= MOST_OMITTED
    assert all(part.reason for part in omitted)
