# SPDX-License-Identifier: Apache-2.0
"""Native programs that tests start."""

import subprocess
from pathlib import Path

from .machine import NATIVE, ROOT


def program(name: str) -> Path:
    """The path of a test program of native/tests/guard, built when it is not there."""
    path = NATIVE / "tests" / "guard" / name
    if not path.exists():
        made = ["make", "-C", str(ROOT / "native"), f"BUILD={NATIVE}", str(path)]
        subprocess.run(made, check=True, capture_output=True, timeout=110)
    return path
