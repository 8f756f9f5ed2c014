# SPDX-License-Identifier: Apache-2.0
"""GPUs that are not offered to every share: compute modes, health, the cost of a context."""

import pytest
from msgspec.structs import replace

from gpushare.model.errors import BadSpecError, UnsupportedError
from gpushare.model.gpu import ComputeMode, GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.spec import MechanismName, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import MIB, Bytes
from gpushare.scheduler import Request, Snapshot, decide
from support.scheduling.values import USUAL, ask, gpu, snapshot, taken


def _costing(mib: int) -> Snapshot:
    """GPUs 0 and 1; a context is expensive on the first, and cheap on the second."""
    state = snapshot(gpu(0), gpu(1))
    context = {GpuId("GPU-0"): Bytes(mib * MIB), GpuId("GPU-1"): Bytes(MIB)}
    return replace(state, machine=replace(state.machine, context=context))


def _limited(mib: int, **changes) -> Request:
    return replace(ask(), spec=ShareSpec(memory=MemoryAsk(limit=Bytes(mib * MIB)), **changes))


@pytest.mark.parametrize("mechanism", [None, "timeslice", "mps", "guard"])
def test_a_limit_below_the_cost_of_a_context_is_refused(mechanism: str | None) -> None:
    request = _limited(299, gpu=("0",), mechanism=mechanism and MechanismName(mechanism))
    with pytest.raises(BadSpecError) as caught:
        decide(_costing(300), request)
    assert "a CUDA context costs 300 MiB on GPU 0" in caught.value.because
    assert decide(_costing(299), request).gpus == ("GPU-0",)


def test_a_small_limit_goes_where_a_context_is_cheaper() -> None:
    assert decide(_costing(300), _limited(299)).gpus == ("GPU-1",)
    with pytest.raises(BadSpecError):
        decide(_costing(300), _limited(299, gpus=2))


def test_a_cost_that_was_not_measured_refuses_nothing() -> None:
    assert decide(snapshot(gpu()), _limited(1)).gpus == ("GPU-0",)


ONE_PROCESS = ComputeMode.EXCLUSIVE_PROCESS


def test_a_gpu_that_admits_one_process_is_shared_through_mps() -> None:
    state = snapshot(gpu(compute_mode=ONE_PROCESS))
    for request in (ask(8), ask(8, 50), ask(8, priority=Priority.HIGH)):
        assert decide(state, request).mechanisms[0] is MechanismName.MPS
    assert decide(state, ask()).mechanisms == (MechanismName.EXCLUSIVE,)


def test_programs_take_turns_on_a_gpu_that_admits_several() -> None:
    state = snapshot(gpu(0, compute_mode=ONE_PROCESS), gpu(1))
    decision = decide(state, ask(8))
    assert decision.mechanisms[0] is MechanismName.TIMESLICE
    assert decision.gpus == ("GPU-1",)
    assert decide(state, ask(8, gpu=("0",))).mechanisms[0] is MechanismName.MPS


@pytest.mark.parametrize(
    ("has", "request_"),
    [
        (USUAL, ask(8, mechanism=MechanismName.TIMESLICE)),
        (("exclusive", "timeslice", "guard"), ask(8)),
    ],
    ids=["timeslice requested", "no MPS"],
)
def test_where_mps_cannot_serve_the_mode_and_the_command_are_named(has, request_) -> None:
    state = snapshot(gpu(0, compute_mode=ONE_PROCESS), gpu(1, compute_mode=ONE_PROCESS), has=has)
    with pytest.raises(UnsupportedError) as caught:
        decide(state, request_)
    assert "compute mode exclusive-process" in caught.value.because
    assert "nvidia-smi -i 0 -c DEFAULT" in caught.value.because


def test_a_mode_that_a_share_alone_has_set_is_waited_for() -> None:
    alone = taken(snapshot(gpu()), ask())
    locked = replace(alone, machine=replace(alone.machine, gpus=(gpu(compute_mode=ONE_PROCESS),)))
    assert decide(locked, ask(8)).waits_for == "GPU 0, which s0 has alone"


def test_mps_waits_for_the_one_process_of_a_program() -> None:
    sliced = taken(snapshot(gpu()), ask(8))
    locked = replace(sliced, machine=replace(sliced.machine, gpus=(gpu(compute_mode=ONE_PROCESS),)))
    assert decide(locked, ask(8)).waits_for == "GPU 0, which admits one process and has s0"


@pytest.mark.parametrize("xid", [46, 62, 64, 95, 119, 120, 140, 143, 158])
def test_a_gpu_with_an_error_of_its_own_takes_no_new_share(xid: int) -> None:
    broken = gpu(0, health=GpuHealth(xids=(13, xid, 31)))
    assert decide(snapshot(broken, gpu(1)), ask(8)).gpus == ("GPU-1",)
    waits = f"GPU 0, which needs a reset (Xid {xid})"
    assert decide(snapshot(broken), ask(8)).waits_for == waits


def test_errors_of_programs_take_no_gpu_out() -> None:
    tenants = gpu(health=GpuHealth(xids=(13, 31, 43, 45, 69, 94), recovery=0))
    assert decide(snapshot(tenants), ask(8)).gpus == ("GPU-0",)


@pytest.mark.parametrize("action", [1, 2, 3, 4, 5, 6, 7, 99])
def test_a_gpu_that_the_driver_wants_recovered_takes_no_new_share(action: int) -> None:
    waits = decide(snapshot(gpu(health=GpuHealth(recovery=action))), ask(8)).waits_for
    assert waits.startswith("GPU 0, which needs ")
    assert waits.endswith("the driver reports")
