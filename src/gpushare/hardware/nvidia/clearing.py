# SPDX-License-Identifier: Apache-2.0
"""Whether the driver clears memory when it is freed.

On Linux it does by default (open-gpu-kernel-modules, scrub-on-free, from GK110 on). The registry
key RmDisableScrubOnFree switches that off; a host of vGPUs leaves it to the guests.
"""

import os
import re
from pathlib import Path

_PARAMS = Path("/proc/driver/nvidia/params")
_OFF = re.compile(r"RmDisableScrubOnFree\s*=\s*(0x)?0*1\b", re.IGNORECASE)


def not_cleared(environ: "os._Environ[str] | dict[str, str] | None" = None) -> str:
    """Why freed memory is not cleared; "" if it is, as far as the driver's parameters say.

    A simulated machine has its parameters next to its image.
    """
    image = (os.environ if environ is None else environ).get("GPUSHARE_SIM_MACHINE")
    path = Path(image).with_name("params") if image else _PARAMS
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return ""
    return "the driver is loaded with RmDisableScrubOnFree" if _OFF.search(text) else ""
