# SPDX-License-Identifier: Apache-2.0
"""A user without any right types the beginning of the README into a fresh clone."""

import os
import shutil
from itertools import takewhile
from pathlib import Path

import pytest

from support.machine import ROOT
from support.typed.pages import A_CLONE, Part, Shell, parts
from support.typed.session import complaints

NOBODY = 65534
pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="not Debian's Python"),
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone"),
    pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing"),
]


def in_the_clone(part: Part) -> bool:
    return not isinstance(part, Shell) or part.profile == A_CLONE


def test_the_tour_runs_in_a_fresh_clone(short_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("support.typed.terminal.HANG_SECONDS", 2000)
    short_path.chmod(0o755)
    beginning = list(takewhile(in_the_clone, parts(ROOT / "README.md")))
    found = complaints(beginning, short_path, NOBODY)
    assert not found, "\n".join(found)
