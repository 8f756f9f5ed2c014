# SPDX-License-Identifier: Apache-2.0
"""The layouts of regions and GPU pages: src/gpushare/guard/layout.py, loaded by its path.

Benchmarks run in a Python that has PyTorch but not gpushare.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

_PATH = Path(__file__).parents[2] / "src" / "gpushare" / "guard" / "layout.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpushare_guard_layout", _PATH)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {_PATH}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layout = _load()
