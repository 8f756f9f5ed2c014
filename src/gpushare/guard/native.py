# SPDX-License-Identifier: Apache-2.0
"""Where the native parts are: in the wheel, or built beside the sources."""

import os
from pathlib import Path

from gpushare.model.errors import GuardMissingError

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "_native"
_BUILT = _PACKAGE.parents[1] / "native" / "build"


def native_root() -> Path:
    """The folder that holds `guard/`, `simgpu/` and `probe/`; raises GuardMissingError."""
    if chosen := os.environ.get("GPUSHARE_NATIVE"):
        return Path(chosen)
    for folder in (_INSTALLED, _BUILT):
        if folder.is_dir():
            return folder
    raise GuardMissingError(
        "the native parts of gpushare are missing",
        f"neither {_INSTALLED} nor {_BUILT} exists",
        "make native",
    )
