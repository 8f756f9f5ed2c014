# SPDX-License-Identifier: Apache-2.0
"""bpf(2), as far as device filters of control groups need it; struct bpf_attr of linux/bpf.h."""

import ctypes
import errno
import os
import platform
import struct
from pathlib import Path

_SYSCALLS = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_ATTACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 13, 16
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI, _REPLACE = 2, 4
_LINE = 8  # bytes of an instruction
_MOST = 64  # programs on one group; the kernel's own limit


class NoBpfError(OSError):
    """The kernel refuses; `strerror` says why."""


def load(program: bytes) -> int:
    """A descriptor of the program; raises NoBpfError."""
    lines = ctypes.create_string_buffer(program, len(program))
    # The program calls no helper of the kernel, so it needs no licence that is compatible with the
    # GPL.
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    fields = (_TYPE_CGROUP_DEVICE, len(program) // _LINE, _address(lines), _address(licence))
    name = b"gpushare"
    rest = struct.pack("<IIQII16sII", 0, 0, 0, 0, 0, name, 0, _ATTACH_CGROUP_DEVICE)
    return _bpf(_PROG_LOAD, bytearray(struct.pack("<IIQQ", *fields) + rest))


def attach(group: Path, program: int) -> None:
    """Attach the program to a control group in place of our previous one; others' filters stay.

    The group is ours, so what is attached to it is what we attached. Raises NoBpfError.
    """
    folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old = _attached(folder)
        flags = _ALLOW_MULTI | (_REPLACE if old is not None else 0)
        fields = (folder, program, _ATTACH_CGROUP_DEVICE, flags, 0 if old is None else old)
        try:
            _bpf(_PROG_ATTACH, bytearray(struct.pack("<IIIII", *fields)))
        finally:
            if old is not None:
                os.close(old)
    finally:
        os.close(folder)


def filtered(group: Path) -> bool:
    """Whether a device filter is attached to the control group itself. Raises OSError."""
    folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        filter_ = _attached(folder)
    finally:
        os.close(folder)
    if filter_ is not None:
        os.close(filter_)
    return filter_ is not None


def _attached(folder: int) -> int | None:
    """A descriptor of the filter that is there already."""
    ids = (ctypes.c_uint32 * _MOST)()
    query = bytearray(
        struct.pack("<IIIIQI", folder, _ATTACH_CGROUP_DEVICE, 0, 0, _address(ids), _MOST)
    )
    _bpf(_PROG_QUERY, query)
    count = struct.unpack_from("<I", query, 24)[0]
    return _bpf(_PROG_GET_FD_BY_ID, bytearray(struct.pack("<III", ids[0], 0, 0))) if count else None


def _bpf(command: int, attributes: bytearray) -> int:
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        raise NoBpfError(errno.ENOSYS, f"not known on {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    area = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    result = libc.syscall(number, command, area, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise NoBpfError(code, os.strerror(code))
    return int(result)


def _address(buffer: ctypes.Array[ctypes.c_char] | ctypes.Array[ctypes.c_uint32]) -> int:
    return ctypes.addressof(buffer)
