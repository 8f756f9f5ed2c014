# SPDX-License-Identifier: Apache-2.0
"""Pid namespaces: a pid names a process only within its own."""

import os
from pathlib import Path

from .processes import STORED

_INITIAL = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h


def in_initial_namespace(proc: Path = Path("/proc")) -> bool:
    """Whether pids that the driver reports mean the same processes here; true where unknown."""
    try:
        return str((proc / "self/ns/pid").readlink()) == _INITIAL
    except OSError:
        return True


def is_ours(namespace: int) -> bool:
    """Whether a namespace, as regions store it, is that of this process."""
    here = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 (follows the link)
    return namespace == here & STORED
