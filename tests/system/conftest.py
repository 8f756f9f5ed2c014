# SPDX-License-Identifier: Apache-2.0
"""A gpushare as its users install it: from a wheel, in a virtual environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheels by architecture, built as `make wheel` builds them."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "scripts/build_wheels.py", folder)
    return {
        architecture: path
        for architecture in ("x86_64", "aarch64")
        for path in folder.glob(f"*_{architecture}.whl")
    }


def open_to_all(program: Path) -> bool:
    """Whether every user can reach and run it."""
    real = program.resolve()
    return all(path.stat().st_mode & 0o001 for path in (real, *real.parents))


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an installation that every user can run."""
    candidates = [Path(sys.executable), Path("/usr/bin/python3"), Path("/usr/local/bin/python3")]
    usable = [path for path in candidates if path.exists() and open_to_all(path)]
    python = usable[0] if usable else Path(sys.executable)
    folder = tmp_path_factory.mktemp("installed")
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    run(python, "-m", "venv", folder)
    wheel = wheels[os.uname().machine]
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    return folder / "bin"
