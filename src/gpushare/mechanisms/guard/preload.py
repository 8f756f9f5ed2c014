# SPDX-License-Identifier: Apache-2.0
"""The guard under a path that only loaders find that can load it.

LD_PRELOAD reaches every program that a program starts. The loader of musl does not start a program
when a library of LD_PRELOAD cannot be loaded, but passes over one that is not there. The path has
`$LIB` in it, which glibc replaces by its folder for libraries of 64 bits (ld.so(8)), and musl
does not replace. The name of that folder depends on the distribution, so there is a link in each.
"""

import os
from pathlib import Path

_MODE = 0o755


def preload_path(folder: Path, library: Path) -> str:
    """What to put into LD_PRELOAD; makes the links. Raises OSError."""
    if set(str(folder)) & set("$: "):
        return str(library)  # LD_PRELOAD has no way to quote
    for place in ("lib64", "lib", f"lib/{os.uname().machine}-linux-gnu"):
        _link(folder, folder / place, library)
    return f"{folder}/$LIB/{library.name}"


def _link(top: Path, folder: Path, library: Path) -> None:
    link = folder / library.name
    if link.is_symlink() and link.readlink() == library:
        return
    folder.mkdir(parents=True, exist_ok=True)
    # Whatever the umask of the daemon is: programs of all users load it.
    for made in (folder, *(parent for parent in folder.parents if parent.is_relative_to(top))):
        made.chmod(_MODE)
    draft = folder / f".{library.name}.{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(library)
    draft.replace(link)
