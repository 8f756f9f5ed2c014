# SPDX-License-Identifier: Apache-2.0
"""The layout of a share's region: a mirror of native/guard/region.h, compared with it by a test."""

import ctypes

MAGIC = 0x4E4F494745525347  # "GSREGION"
VERSION = 2
MAX_GPUS = 16
MAX_SLOTS = 1024
UUID_BYTES = 64


class Grant(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * UUID_BYTES),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("seat", ctypes.c_uint64),
    ]


class Gpu(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * UUID_BYTES),
        ("limit", ctypes.c_uint64),
        ("context", ctypes.c_uint64),
        ("generation", ctypes.c_uint64),
        ("seat", ctypes.c_uint64),
        ("keep", ctypes.c_uint64),
        ("policy_reserved", ctypes.c_uint64 * 19),
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
        ("fixed", ctypes.c_uint32),
        ("failure", ctypes.c_uint32),
        ("halt_seen", ctypes.c_uint32),
        ("away", ctypes.c_uint64),
        ("host", ctypes.c_uint64),
        ("moved", ctypes.c_uint64),
        ("out_ns", ctypes.c_uint64),
        ("in_ns", ctypes.c_uint64),
        ("movable", ctypes.c_uint64),
        ("reserved", ctypes.c_uint64 * 6),
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
        ("halt", ctypes.c_uint32),
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
