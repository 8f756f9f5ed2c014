# SPDX-License-Identifier: Apache-2.0
"""The layouts of regions and boards: mirrors of native/guard/share/region.h and gpu_page.h.

A test compares them with the C headers.
"""

import ctypes

MAGIC = 0x4E4F494745525347  # "GSREGION"
VERSION = 2
MAX_GPUS = 16
MAX_SLOTS = 1024
UUID_BYTES = 64

BOARD_MAGIC = 0x4452414F425347  # "GSBOARD"
BOARD_VERSION = 1
MAX_SEATS = 64
MAX_RIDERS = 256
SHARE_BYTES = 16


class Grant(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * UUID_BYTES),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("share_slot", ctypes.c_uint64),
    ]


class Gpu(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * UUID_BYTES),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("share_slot", ctypes.c_uint64),
        ("keep", ctypes.c_uint64),
        ("moves", ctypes.c_uint64),
        ("policy_reserved", ctypes.c_uint64 * 18),
        ("used", ctypes.c_uint64),
        ("peak", ctypes.c_uint64),
        ("denied", ctypes.c_uint64),
        ("allocations", ctypes.c_uint64),
        ("cached", ctypes.c_uint64),
        ("counters_reserved", ctypes.c_uint64 * 27),
    ]


class Slot(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_int32),
        ("pid_namespace", ctypes.c_uint32),
        ("start", ctypes.c_uint64),
        ("charged", ctypes.c_uint64 * MAX_GPUS),
        ("phase", ctypes.c_uint32),
        ("unmovable", ctypes.c_uint32),
        ("failure", ctypes.c_uint32),
        ("suspend_seen", ctypes.c_uint32),
        ("away", ctypes.c_uint64),
        ("host", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
        ("out_ns", ctypes.c_uint64),
        ("in_ns", ctypes.c_uint64),
        ("movable", ctypes.c_uint64),
        ("cached", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 5),
    ]


class Header(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint64),
        ("version", ctypes.c_uint32),
        ("header_size", ctypes.c_uint32),
        ("gpu_size", ctypes.c_uint32),
        ("slot_size", ctypes.c_uint32),
        ("gpu_count", ctypes.c_uint32),
        ("slot_count", ctypes.c_uint32),
        ("slots_high", ctypes.c_uint32),
        ("header_padding", ctypes.c_uint32),
        ("sequence", ctypes.c_uint64),
        ("unlisted", ctypes.c_uint64),
        ("unhooked", ctypes.c_uint64),
        ("lock_space", ctypes.c_ubyte * 64),
        ("flags", ctypes.c_uint32),
        ("suspend", ctypes.c_uint32),
        ("pressure", ctypes.c_uint32),
        ("policy_padding", ctypes.c_uint32),
        ("header_reserved", ctypes.c_ubyte * 368),
    ]


class Region(ctypes.Structure):
    _fields_ = [
        ("header", Header),
        ("gpu", Gpu * MAX_GPUS),
        ("slot", Slot * MAX_SLOTS),
    ]


class SwapInfo(ctypes.Structure):
    _fields_ = [
        ("unit", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("ready", ctypes.c_uint64),
        ("taken", ctypes.c_uint64),
    ]


class SeatPolicy(ctypes.Structure):
    _fields_ = [
        ("share", ctypes.c_char * SHARE_BYTES),
        ("rank", ctypes.c_uint32),
        ("limit", ctypes.c_uint32),
        ("request", ctypes.c_uint32),
        ("quantum_us", ctypes.c_uint32),
        ("minimum", ctypes.c_uint32),
        ("grace_us", ctypes.c_uint32),
        ("timeslice_us", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 5),
    ]


class Seat(ctypes.Structure):
    _fields_ = [
        ("policy", SeatPolicy),
        ("gate", ctypes.c_uint32),
        ("gate_padding", ctypes.c_uint32 * 15),
        ("sleepers", ctypes.c_uint32),
        ("sleepers_padding", ctypes.c_uint32),
        ("opened_at", ctypes.c_uint64),
        ("closed_at", ctypes.c_uint64),
        ("turns", ctypes.c_uint64),
        ("starvation_window", ctypes.c_uint64),
        ("turn_reserved", ctypes.c_uint64 * 3),
        ("wanted_ns", ctypes.c_uint64),
        ("open_ns", ctypes.c_uint64),
        ("overrun_ns", ctypes.c_uint64),
        ("busy_ns", ctypes.c_uint64),
        ("waits", ctypes.c_uint64),
        ("waited_ns", ctypes.c_uint64),
        ("fences", ctypes.c_uint64),
        ("longest_ns", ctypes.c_uint64),
        ("preemptions", ctypes.c_uint64),
        ("preempt_ns", ctypes.c_uint64),
        ("grace_ns", ctypes.c_uint64),
        ("overrides", ctypes.c_uint64),
        ("starvation_runs", ctypes.c_uint64),
        ("launches", ctypes.c_uint64),
        ("timeslice_us", ctypes.c_uint64),
        ("counters_reserved", ctypes.c_uint64 * 9),
    ]


class Rider(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_int32),
        ("pid_namespace", ctypes.c_uint32),
        ("start", ctypes.c_uint64),
        ("share_slot", ctypes.c_uint32),
        ("preempt_bit", ctypes.c_uint32),
        ("beat_ns", ctypes.c_uint64),
        ("until_ns", ctypes.c_uint64),
        ("want_ns", ctypes.c_uint64),
        ("busy", ctypes.c_uint32),
        ("draining", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64 * 9),
    ]


class BoardHeader(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint64),
        ("version", ctypes.c_uint32),
        ("header_size", ctypes.c_uint32),
        ("share_slot_size", ctypes.c_uint32),
        ("process_slot_size", ctypes.c_uint32),
        ("share_slot_count", ctypes.c_uint32),
        ("process_slot_count", ctypes.c_uint32),
        ("process_slots_high", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("preempt_bits", ctypes.c_uint32),
        ("turns", ctypes.c_uint32),
        ("lease", ctypes.c_uint64),
        ("passes", ctypes.c_uint64),
        ("uuid", ctypes.c_char * UUID_BYTES),
        ("header_reserved", ctypes.c_uint64 * 16),
    ]


class Board(ctypes.Structure):
    _fields_ = [
        ("header", BoardHeader),
        ("share_slot", Seat * MAX_SEATS),
        ("process_slot", Rider * MAX_RIDERS),
    ]
