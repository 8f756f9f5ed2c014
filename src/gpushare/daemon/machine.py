# SPDX-License-Identifier: Apache-2.0
"""The rig of the machine we run on."""

from pathlib import Path

from gpushare.hardware.census import Census
from gpushare.hardware.host import Host
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.settings import Settings

from .clock import SystemClock
from .places import private_folder
from .rig import Rig

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def rig(settings: Settings) -> Rig:
    """Nothing is asked of the driver yet; raises DeniedError when a folder cannot be ours."""
    runtime = private_folder(settings.runtime_dir)
    host = Host.open(runtime)
    mechanisms = Mechanisms({}, host.cgroups)
    return Rig(
        gpus=host.gpus,
        processes=host.processes,
        census=Census,
        cgroups=host.cgroups,
        mechanisms=mechanisms,
        machine=host.machine,
        probe=None,
        clock=SystemClock(),
        boot=_BOOT_ID.read_text().strip(),
    )
