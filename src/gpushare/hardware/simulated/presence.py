# SPDX-License-Identifier: Apache-2.0
"""Whether this process runs on a simulated machine of `gpushare simulate`, and whether that lives.

A machine is a folder, which its owner keeps locked. The lock goes with the owner, however that
ends, so what belongs to the machine needs no signal to learn of its end.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "gpushare-sim-"


def machine_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder of the machine; None: no machine, or one whose end nothing shows."""
    image = environment.get("GPUSHARE_SIM_MACHINE", "")
    folder = Path(image).parent
    return folder if image and folder.name.startswith(PREFIX) else None


def ended(folder: Path) -> bool:
    """Whether the machine's owner has ended."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
