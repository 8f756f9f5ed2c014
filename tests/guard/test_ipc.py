# SPDX-License-Identifier: Apache-2.0
"""Memory that one process shows to another by CUDA's IPC handles."""

import subprocess
import sys

import pytest

from gpushare.guard import Flag
from gpushare.model.units import GIB, MIB

SCENARIOS = [
    "other_processes_map_exports",
    "no_right_to_another_process_is_needed",
    "a_ticket_of_a_wrong_size_is_refused",
    "tickets_that_no_exporter_makes_are_refused",
    "an_exporter_that_does_not_answer_ends_in_an_error",
    "an_importer_asks_again_where_the_listener_went",
    "exports_outlive_closed_sockets",
    "exports_outlive_closed_sockets_for_many_importers",
    "closing_waits_for_queued_work",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_memory_is_shown_to_other_processes(guarded, native_test, scenario) -> None:
    share = guarded(4 * GIB)
    share.region.set_flags(Flag.MOVABLE)
    ran = share.run(native_test("ipc_test"), scenario)
    assert ran.returncode == 0, ran.stderr
    assert share.region.snapshot().unhooked == 0


EXPORTER = """
import ctypes, sys
cuda, context, at = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_uint64()
handle = (ctypes.c_ubyte * 64)()
failed = (
    cuda.cuInit(0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    or cuda.cuCtxSetCurrent(context)
    or cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(4 << 20))
    or cuda.cuMemsetD8_v2(at, ctypes.c_ubyte(7), ctypes.c_size_t(4 << 20))
    or cuda.cuCtxSynchronize()
    or cuda.cuIpcGetMemHandle(handle, at)
)
print(failed, bytes(handle).hex(), flush=True)
sys.stdin.read()
"""
IMPORTER = """
import ctypes, sys
class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_ubyte * 64)]
cuda, context, at = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p(), ctypes.c_uint64()
handle, byte = Handle.from_buffer_copy(bytes.fromhex(sys.argv[1])), ctypes.c_ubyte()
failed = (
    cuda.cuInit(0)
    or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    or cuda.cuCtxSetCurrent(context)
    or cuda.cuIpcOpenMemHandle_v2(ctypes.byref(at), handle, 1)
    or cuda.cuMemcpyDtoH_v2(ctypes.byref(byte), at, ctypes.c_size_t(1))
)
print(failed, byte.value)
"""


@pytest.mark.parametrize(("plain", "answer"), [("1", "0 7"), ("0", "1 0")])
def test_a_process_without_the_guard_opens_plain_memory_only(guarded, plain, answer) -> None:
    share = guarded(64 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    env = {**share.environment, "GPUSHARE_PLAIN_MEMORY": plain}
    with share.machine.start(
        sys.executable, "-c", EXPORTER, env=env, stdin=subprocess.PIPE
    ) as exporter:
        failed, handle = exporter.stdout.readline().split()
        assert failed == "0"
        opened = share.machine.run(sys.executable, "-c", IMPORTER, handle)
        assert opened.stdout.strip() == answer, opened.stderr
        assert bool(share.region.snapshot().slots[0].unmovable)
        exporter.communicate("", timeout=60)


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
@pytest.mark.parametrize("plain", ["0", "1"], ids=["blocks", "plain"])
def test_memory_on_a_gpu_that_the_importer_does_not_see_is_opened(guarded, plain) -> None:
    """As each of two shares of a GPU does with the memory of the other, for NCCL."""
    theirs = guarded(64 * MIB, gpu=1)
    theirs.region.set_flags(Flag.MOVABLE)
    path = theirs.region.path.rename(theirs.region.path.with_name("theirs"))
    mine = guarded(64 * MIB)
    mine.region.set_flags(Flag.MOVABLE)
    there = {**mine.environment, "GPUSHARE_REGION": str(path), "GPUSHARE_PLAIN_MEMORY": plain}
    env = {**there, "CUDA_VISIBLE_DEVICES": "0"}
    with mine.machine.start(
        sys.executable, "-c", EXPORTER, env=env, stdin=subprocess.PIPE
    ) as exporter:
        failed, handle = exporter.stdout.readline().split()
        assert failed == "0"
        opened = mine.run(sys.executable, "-c", IMPORTER, handle, env={"CUDA_VISIBLE_DEVICES": "0"})
        assert opened.stdout.strip() == "0 7", opened.stderr
        exporter.communicate("", timeout=60)
