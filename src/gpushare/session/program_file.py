# SPDX-License-Identifier: Apache-2.0
"""Whether the guard can be loaded into a program, from the file that the kernel executes.

The guard is a library of 64 bits for glibc, loaded with LD_PRELOAD. Into a statically linked
program nothing is loaded, and the loader of a program with rights of its own (setuid) ignores
LD_PRELOAD. The loaders of musl and of 32 bits cannot load the guard. A script is what its
interpreter is.
"""

import os
import shutil
import stat
import struct
from pathlib import Path

_HEAD = 4096
_SCRIPTS = 4  # interpreters that are scripts themselves; the kernel allows as many
_PT_INTERP = 3
_HEADER_SIZE = 56  # of one program header of 64 bits


def unguarded(path: str) -> str:
    """Why the guard cannot limit the program of this file; empty: it can, or it is unknown."""
    try:
        return _unguarded(path, _SCRIPTS)
    except (OSError, OverflowError, ValueError, struct.error):
        return ""


def _unguarded(path: str, scripts: int) -> str:
    head, mode = _read(path)
    if head.startswith(b"#!") and scripts:
        interpreter = _interpreter(head)
        return _unguarded(interpreter, scripts - 1) if interpreter else ""
    if not head.startswith(b"\x7fELF"):
        return ""
    if os.geteuid() and (mode & (stat.S_ISUID | stat.S_ISGID) or _has_capabilities(path)):
        return "it runs with rights of its own (setuid)"
    if head[4:5] == b"\1":
        return "it is a program of 32 bits"
    loader = _loader(path, head)
    if loader is None:
        return "" if Path(path).name.startswith("ld-") else "it is linked statically"
    return "it is linked with musl" if "ld-musl-" in loader else ""


def _read(path: str) -> tuple[bytes, int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        return (os.pread(fd, _HEAD, 0) if stat.S_ISREG(mode) else b""), mode
    finally:
        os.close(fd)


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _interpreter(head: bytes) -> str:
    """What runs a script; for `env` the program that it looks for."""
    words = head[2:].split(b"\n", 1)[0].decode(errors="replace").split()
    if not words:
        return ""
    if Path(words[0]).name != "env":
        return words[0]
    named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return (named and shutil.which(named[0])) or ""


def _loader(path: str, head: bytes) -> str | None:
    """The program's loader; None: it has none. Only the first 4 KiB of the file are looked at."""
    at, count = _program_headers(head)
    for number in range(count):
        kind, offset, length = _segment(head, at + number * _HEADER_SIZE)
        if kind == _PT_INTERP:
            return _text(path, offset, length)
    return None


def _program_headers(head: bytes) -> tuple[int, int]:
    (at,) = struct.unpack_from("<Q", head, 32)
    (count,) = struct.unpack_from("<H", head, 56)
    return at, count


def _segment(head: bytes, at: int) -> tuple[int, int, int]:
    kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", head, at)
    return kind, offset, length


def _text(path: str, offset: int, length: int) -> str:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(min(length, _HEAD)).rstrip(b"\0").decode(errors="replace")
