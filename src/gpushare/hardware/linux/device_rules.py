# SPDX-License-Identifier: Apache-2.0
"""Which GPU device nodes a control group may open, in the kernel's format. Pure.

A deny rule for GPUs that are not one's own, and nothing else: the control nodes that every CUDA
program needs (nvidiactl, nvidia-uvm) have other numbers and stay open.
"""

import struct
from collections.abc import Collection

# nv-chardev-numbers.h of the open kernel modules: GPUs have minors 0 to 247; 254 and 255 control.
MAJOR, LAST_MINOR = 195, 247

_BLOCK_OR_CHAR = 0xFFFF  # the lower half of access_type; linux/bpf.h, struct bpf_cgroup_dev_ctx
_CHAR = 2
_CONTEXT, _TYPE, _MAJOR, _MINOR, _RESULT = 1, 2, 3, 4, 0  # registers
_LOAD, _AND, _MOVE, _EXIT = 0x61, 0x57, 0xB7, 0x95
_IF_EQUAL, _IF_OTHER, _IF_ABOVE = 0x15, 0x55, 0x25
_TYPE_AT, _MAJOR_AT, _MINOR_AT = 0, 4, 8


def program(minors: Collection[int]) -> bytes:
    """A BPF program of type CGROUP_DEVICE that lets open only these GPUs' nodes."""
    own = sorted(set(minors))
    allow = len(own) + 2  # from behind the first test of the minor: the tests and the refusal
    lines = [
        _line(_LOAD, _TYPE, _CONTEXT, _TYPE_AT),
        _line(_LOAD, _MAJOR, _CONTEXT, _MAJOR_AT),
        _line(_LOAD, _MINOR, _CONTEXT, _MINOR_AT),
        _line(_AND, _TYPE, value=_BLOCK_OR_CHAR),
        _line(_IF_OTHER, _TYPE, jump=allow + 2, value=_CHAR),
        _line(_IF_OTHER, _MAJOR, jump=allow + 1, value=MAJOR),
        _line(_IF_ABOVE, _MINOR, jump=allow, value=LAST_MINOR),
    ]
    for at, minor in enumerate(own):
        lines.append(_line(_IF_EQUAL, _MINOR, jump=allow - at - 1, value=minor))
    lines += [_line(_MOVE, _RESULT, value=0), _line(_EXIT)]
    lines += [_line(_MOVE, _RESULT, value=1), _line(_EXIT)]
    return b"".join(lines)


def denials(minors: Collection[int]) -> tuple[tuple[str, str], ...]:
    """The same for the v1 controller: files of the group and what to write, in order.

    One by one: of a range that is denied it allows nothing again.
    """
    rules = {minor: f"c {MAJOR}:{minor} rwm" for minor in range(LAST_MINOR + 1)}
    return tuple(
        ("devices.allow" if minor in minors else "devices.deny", rule)
        for minor, rule in rules.items()
    )


def _line(code: int, to: int = 0, source: int = 0, jump: int = 0, value: int = 0) -> bytes:
    """One instruction: struct bpf_insn of linux/bpf.h."""
    return struct.pack("<BBhi", code, source << 4 | to, jump, value)
