# SPDX-License-Identifier: Apache-2.0
"""A user without any right runs a daemon of his own; the root daemon serves users apart."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import open_to_all

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]
NOBODY = 65534
EXAMPLE = Path(__file__).parents[2] / "examples" / "01-three-programs"


def as_user(uid: int, *command: str | Path) -> list[str]:
    """The command under another uid, without groups and capabilities."""
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [*drop, "--inh-caps=-all", "--no-new-privs", *map(str, command)]


@pytest.fixture
def bin_for_all(installed: Path) -> Path:
    if not open_to_all(installed / "python"):
        pytest.skip("no Python on this machine that another user may run")
    return installed


def test_a_user_without_rights_runs_the_demo(bin_for_all: Path, short_path: Path) -> None:
    short_path.chmod(0o755)
    example = shutil.copytree(EXAMPLE, short_path / "example")
    home = short_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    demo = [bin_for_all / "gpushare", "simulate", "h200-1", "--", bin_for_all / "python"]
    done = subprocess.run(
        as_user(NOBODY, *demo, example / "demo.py"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything held" in done.stdout
