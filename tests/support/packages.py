# SPDX-License-Identifier: Apache-2.0
"""Packages of other people that tests install, each time in a folder of its own."""

import subprocess
import sys
from pathlib import Path

_SECONDS = 2400  # a guard: PyTorch takes 3 GB of downloads and 5.4 GiB on disk
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")


def install(folder: Path, requirement: str) -> None:
    """Put one package into `folder`, without what it depends on."""
    _run(sys.executable, *INSTALL, "--no-deps", "--target", str(folder), requirement)


def environment(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment with packages, as a user would; the path of its Python."""
    python = folder / "bin" / "python"
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(python), *INSTALL, *requirements)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
