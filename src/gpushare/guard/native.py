# SPDX-License-Identifier: Apache-2.0
"""Where the native parts are: in the wheel, or built next to the sources."""

import ctypes
import os
from functools import cache
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


def library_path() -> Path:
    """The guard, as LD_PRELOAD takes it; raises GuardMissingError."""
    path = native_root() / "guard" / "libgpushare.so"
    if not path.is_file():
        raise GuardMissingError("the guard is missing", f"{path} does not exist", "make native")
    return path


def library() -> ctypes.CDLL:
    """The guard, loaded for its functions on files; hooks nothing. Raises GuardMissingError."""
    return _load(library_path())


@cache
def _load(path: Path) -> ctypes.CDLL:
    # Without RTLD_GLOBAL: the hooks must not replace symbols in this process.
    loaded = ctypes.CDLL(str(path))
    text, word, number = ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint
    # Without argtypes ctypes passes integers as C int, which cuts sizes of 64 bits.
    loaded.gpushare_region_create.argtypes = [text, ctypes.c_void_p, number]
    loaded.gpushare_region_set_limit.argtypes = [text, text, word]
    loaded.gpushare_region_set_peak.argtypes = [text, text, word]
    loaded.gpushare_region_set_flags.argtypes = [text, ctypes.c_uint32]
    loaded.gpushare_region_suspend.argtypes = [text, word]
    loaded.gpushare_region_resume.argtypes = [text]
    loaded.gpushare_region_move.argtypes = [text, number, ctypes.c_void_p]
    loaded.gpushare_gpu_page_create.argtypes = [text, text]
    loaded.gpushare_gpu_page_set_share.argtypes = [text, number, ctypes.c_void_p]
    return loaded
