# SPDX-License-Identifier: Apache-2.0
"""Compile `native/` into the wheel.

The guard has no Python ABI, so one wheel per platform serves every Python: tag `py3-none-PLATFORM`.
`CC` and `GPUSHARE_WHEEL_PLATFORM` make it a cross build, as scripts/build_wheels.py does.
"""

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("guard", "probe", "simgpu")


class NativeBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        platform = os.environ.get("GPUSHARE_WHEEL_PLATFORM") or _local_platform()
        native = Path(self.root, "native")
        build = native / "build" / "wheel" / platform
        settings = [f"BUILD={build.relative_to(native)}"]
        settings += [f"{name}={os.environ[name]}" for name in ("CC",) if name in os.environ]
        subprocess.run(["make", "-C", str(native), "-j2", *settings, "all"], check=True)
        for path in sorted(file for folder in FOLDERS for file in (build / folder).iterdir()):
            build_data["force_include"][str(path)] = f"gpushare/_native/{path.relative_to(build)}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"


def _local_platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
