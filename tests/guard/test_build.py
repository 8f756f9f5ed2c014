# SPDX-License-Identifier: Apache-2.0
"""What the built library shows and needs."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.guard import library_path

NATIVE = Path(__file__).parents[2] / "native"
FLOOR = (2, 17)  # manylinux2014

needs_binutils = pytest.mark.skipif(
    not shutil.which("nm"), reason="reads symbol tables: needs binutils"
)


def _symbols(library: Path, which: str) -> list[str]:
    told = subprocess.run(
        ["nm", "-D", which, str(library)], check=True, capture_output=True, text=True, timeout=30
    )
    return [line.split()[-1] for line in told.stdout.splitlines()]


def _hooks() -> set[str]:
    """What hooks.def names, and what the tables name that it includes."""
    text = (NATIVE / "guard" / "hooks.def").read_text()
    for table in dict.fromkeys(re.findall(r'^#include "(.*)"', text, re.MULTILINE)):
        text += (NATIVE / "include" / table).read_text()
    found = set(re.findall(r"^(?:NVML_)?HOOK\((?:\w+, )?(\w+)", text, re.MULTILINE))
    for twins, symbol in re.findall(r"^(STREAM|PTSZ|DEFAULT|PTDS)\(\w+, (\w+)", text, re.MULTILINE):
        found |= {symbol, f"{symbol}_{'ptsz' if twins in {'STREAM', 'PTSZ'} else 'ptds'}"}
    return found


@needs_binutils
def test_exports_its_hooks_and_nothing_else() -> None:
    exported = {name.split("@")[0] for name in _symbols(library_path(), "--defined-only")}
    interposed = {"dlsym", "dlvsym", "dlopen", "dlmopen", "ioctl"}
    shown = {name for name in exported - interposed if not name.startswith("GLIBC_")}
    for_the_daemon = {name for name in shown if name.startswith("gpushare_")}
    assert shown - for_the_daemon == _hooks()


@needs_binutils
@pytest.mark.skipif(
    not importlib.util.find_spec("ziglang"),
    reason="needs ziglang (group wheel): pip install ziglang",
)
def test_needs_no_newer_glibc_than_wheels_promise(tmp_path: Path) -> None:
    compiler = f"{sys.executable} -m ziglang cc -target x86_64-linux-gnu.2.17"
    library = tmp_path / "guard" / "libgpushare.so"
    subprocess.run(
        ["make", "-C", str(NATIVE), f"CC={compiler}", f"BUILD={tmp_path}", str(library)],
        check=True,
        capture_output=True,
        timeout=110,
    )
    needed = re.findall(r"GLIBC_(\d+)\.(\d+)", " ".join(_symbols(library, "--undefined-only")))
    assert needed
    assert max((int(major), int(minor)) for major, minor in needed) <= FLOOR
