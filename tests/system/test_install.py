# SPDX-License-Identifier: Apache-2.0
"""`make install` and `make uninstall`, as the README has its readers type them."""

import os
import subprocess
from pathlib import Path

import pytest

from support.machine import ROOT

pytestmark = pytest.mark.system


def make(home: Path, target: str) -> str:
    """In another home, whose `~/.local` is the prefix of users without root."""
    done = subprocess.run(
        ["make", "--no-print-directory", target, f"PREFIX={home}/.local"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def version(home: Path) -> str:
    return subprocess.run(
        [home / ".local/bin/gpushare", "--version"],
        env={"PATH": "/nonexistent", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_it_is_installed_upgraded_and_removed_without_a_trace(tmp_path: Path) -> None:
    shown = make(tmp_path, "install")
    assert f'export PATH="{tmp_path}/.local/bin:$PATH"' in shown
    first = version(tmp_path)
    library = tmp_path / ".local/lib/gpushare"
    (library / "left").touch()
    unit = tmp_path / ".local/share/systemd/user/gpushare.service"
    assert f"ExecStart={tmp_path}/.local/bin/gpushare daemon\n" in unit.read_text()

    make(tmp_path, "install")
    assert version(tmp_path) == first
    assert not (library / "left").exists()
    assert [path.name for path in library.parent.iterdir()] == ["gpushare"]

    make(tmp_path, "uninstall")
    assert not [path for path in (tmp_path / ".local").rglob("*") if path.is_file()]
