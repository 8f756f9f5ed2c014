# SPDX-License-Identifier: Apache-2.0
"""Which device nodes the filters let open: the BPF program is run here, as the kernel would."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from gpushare.hardware.linux.device_rules import LAST_MINOR, MAJOR, denials, program

CHAR, BLOCK = 2, 1
minors = st.sets(st.integers(0, LAST_MINOR), max_size=16)


def run(code: bytes, kind: int, major: int, minor: int) -> int:
    """A reading of the few instructions there are; linux/bpf_common.h has their numbers."""
    context = struct.pack("<III", 3 << 16 | kind, major, minor)
    registers, at = [0] * 11, 0
    lines = [struct.unpack_from("<BBhi", code, start) for start in range(0, len(code), 8)]
    for _ in range(10_000):
        operation, places, jump, value = lines[at]
        to, source = places & 15, places >> 4
        at += 1
        match operation:
            case 0x61:
                assert source == 1
                registers[to] = struct.unpack_from("<I", context, jump)[0]
            case 0x57:
                registers[to] &= value
            case 0xB7:
                registers[to] = value
            case 0x15:
                at += jump if registers[to] == value else 0
            case 0x55:
                at += jump if registers[to] != value else 0
            case 0x25:
                at += jump if registers[to] > value else 0
            case 0x95:
                return registers[0]
    raise AssertionError("the program does not end")


@given(minors, st.sampled_from([CHAR, BLOCK]), st.sampled_from([MAJOR, 1, 194, 510]), st.data())
def test_only_gpus_that_are_not_ones_own_are_refused(own, kind, major, data) -> None:
    minor = data.draw(st.integers(0, 300) | st.sampled_from(sorted(own) or [0]))
    others_gpu = kind == CHAR and major == MAJOR and minor <= LAST_MINOR and minor not in own
    assert run(program(own), kind, major, minor) == (not others_gpu)


def test_the_controller_receives_the_same() -> None:
    told = dict(reversed(rule) for rule in denials([1, 0]))
    assert told.pop("c 195:0 rwm") == told.pop("c 195:1 rwm") == "devices.allow"
    assert set(told.values()) == {"devices.deny"}
    assert len(told) == LAST_MINOR - 1
    assert "c 195:255 rwm" not in told
