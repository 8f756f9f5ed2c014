# SPDX-License-Identifier: Apache-2.0
"""Compile `native/` into the wheel.

The guard has no Python ABI, so one wheel per platform serves every Python: tag `py3-none-PLATFORM`.
"""

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = ("guard/libgpushare.so", "probe/gpushare-probe")
SIMULATED = "simgpu"


class NativeBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        build = Path(self.root, "native", "build")
        subprocess.run(["make", "-C", str(Path(self.root, "native")), "all"], check=True)
        files = [build / name for name in BUILT]
        files += [path for path in sorted((build / SIMULATED).iterdir()) if path.suffix != ".o"]
        for path in files:
            build_data["force_include"][str(path)] = f"gpushare/_native/{path.relative_to(build)}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"


def _platform() -> str:
    """The platform tag; `GPUSHARE_WHEEL_PLATFORM` names another one for a cross build."""
    local = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return os.environ.get("GPUSHARE_WHEEL_PLATFORM", local)
