# SPDX-License-Identifier: Apache-2.0
"""Folders in the machine's shared memory, for daemons whose own folder is on a disk."""

import os
import stat
from pathlib import Path

from gpushare.hardware.ports import HostMemory

_SHARED = Path("/dev/shm")  # noqa: S108 (folders in it carry our uid, and their owner is checked)


def shared(folder: Path) -> Path:
    """What stands for the folder there; another daemon's has another name."""
    return _SHARED / f"gpushare-{os.geteuid()}{str(folder).replace('/', '-')}"


def seen_by_gpus(host: HostMemory, folder: Path) -> Path:
    """Where files can be mapped into a GPU, which takes no pages of a disk's file system."""
    other = shared(folder)
    if host.in_memory(folder) or not host.in_memory(_SHARED) or not ours(other):
        return folder
    return other


def open_to_pass(folder: Path) -> None:
    """Make the folder: others reach what is in it by name, and cannot list it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    # The daemon's umask takes bits from the mode of a new folder.
    folder.chmod(0o711)


def ours(folder: Path) -> bool:
    """Anyone can make a folder in shared memory and wait there for us."""
    try:
        # Not stat: a link would show the owner of its target.
        status = folder.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
