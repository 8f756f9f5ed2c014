# SPDX-License-Identifier: Apache-2.0
"""build_wheels.py FOLDER [ARCHITECTURE...]: wheels that run on every Linux with glibc 2.17."""

import os
import subprocess
import sys
from pathlib import Path

GLIBC = (2, 17)  # RHEL 7 and everything after it
ARCHITECTURES = ("x86_64", "aarch64")
ROOT = Path(__file__).resolve().parents[1]


def build(architecture: str, folder: Path) -> None:
    major, minor = GLIBC
    compiler = f"{sys.executable} -m ziglang cc -target {architecture}-linux-gnu.{major}.{minor}"
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT],
        env={
            **os.environ,
            "CC": compiler,
            "GPUSHARE_WHEEL_PLATFORM": f"manylinux_{major}_{minor}_{architecture}",
        },
        check=True,
    )


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    for architecture in sys.argv[2:] or ARCHITECTURES:
        build(architecture, folder)


if __name__ == "__main__":
    main()
