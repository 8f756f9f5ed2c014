# SPDX-License-Identifier: Apache-2.0
"""Which mechanisms could make a share real, best first."""

from collections.abc import Iterator

from gpushare.model.errors import UnsupportedError
from gpushare.model.promise import Promise, enforcement
from gpushare.model.share import Enforcement, Level
from gpushare.model.spec import Isolation, MechanismName, Priority, ShareSpec
from gpushare.model.units import FULL
from gpushare.model.value import Value

from .state import Snapshot

EXCLUSIVE, TIMESLICE, MPS = (
    MechanismName.EXCLUSIVE,
    MechanismName.TIMESLICE,
    MechanismName.MPS,
)
DRIVER_LIMIT, GUARD = MechanismName.DRIVER_LIMIT, MechanismName.GUARD
LAYERS = (DRIVER_LIMIT, GUARD)


class Stack(Value):
    """A base and the layers on it, and why they were taken.

    `whole`: the share has all of its GPUs' memory and compute.
    """

    promises: tuple[Promise, ...]
    whole: bool = False
    why: tuple[str, ...] = ()

    @property
    def base(self) -> Promise:
        return self.promises[0]

    @property
    def names(self) -> tuple[MechanismName, ...]:
        return tuple(promise.mechanism for promise in self.promises)

    @property
    def enforcement(self) -> Enforcement:
        return enforcement(self.promises, whole=self.whole)


def choose(state: Snapshot, spec: ShareSpec) -> Stack:
    """The best stack that the machine has and that isolates enough, whether there is room or not.

    Raises UnsupportedError with the reason for each one that is missing.
    """
    missing: list[str] = []
    for base, reason in _bases(spec, guarded=state.machine.has(GUARD)):
        stack = _stack(state, spec, base, reason)
        problem = _problem(state, spec, stack)
        if not problem:
            return stack
        missing.append(problem)
    raise UnsupportedError(
        f"this machine cannot share a GPU{_wish(spec)}",
        "; ".join(missing),
        "see what it can do: gpushare gpus -o wide",
    )


def _wish(spec: ShareSpec) -> str:
    how = f" by {spec.mechanism}" if spec.mechanism else ""
    strict = spec.isolation is not Isolation.ANY
    return how + (f" with isolation {spec.isolation}" if strict else "")


def whole_memory(spec: ShareSpec) -> bool:
    """Whether the share asks for all of a GPU's memory, which leaves room for nobody else."""
    return spec.memory.limit is None and spec.memory.share is None


def _bases(spec: ShareSpec, *, guarded: bool) -> Iterator[tuple[MechanismName, str]]:
    if spec.mechanism is not None:
        base = TIMESLICE if spec.mechanism in LAYERS else spec.mechanism
        yield base, f"{spec.mechanism} was asked for"
    elif spec.isolation is Isolation.HARD:
        yield EXCLUSIVE, "isolation hard needs a GPU alone"
    elif whole_memory(spec) and not spec.turns:
        yield EXCLUSIVE, "no memory limit was asked for, so the share takes a GPU alone"
    elif spec.priority is not Priority.NORMAL and guarded:
        yield TIMESLICE, f"priority {spec.priority} is kept best where long kernels can be cut"
    elif spec.priority is not Priority.NORMAL:
        yield MPS, f"without the guard only MPS knows priority {spec.priority}"
        yield TIMESLICE, f"neither the guard nor MPS is here to keep priority {spec.priority}"
    elif spec.compute.limit < FULL and guarded:
        yield MPS, f"with a compute limit of {spec.compute.limit} % programs run at the same time"
        yield TIMESLICE, "MPS cannot be used here; the guard holds the compute limit all the same"
    elif spec.compute.limit < FULL:
        yield MPS, f"only MPS holds a compute limit of {spec.compute.limit} %"
        yield TIMESLICE, "MPS cannot be used here, so the compute limit does not hold"
    else:
        yield TIMESLICE, "no compute limit was asked for, and time-slicing keeps faults apart"


def _stack(state: Snapshot, spec: ShareSpec, base: MechanismName, reason: str) -> Stack:
    layers, layer_reason = _layers(state, spec)
    return Stack(
        promises=tuple(_promise(state, name) for name in (base, *layers)),
        whole=whole_memory(spec) and spec.compute.limit == FULL,
        why=(f"by {base}: {reason}", *layer_reason),
    )


def _promise(state: Snapshot, name: MechanismName) -> Promise:
    known = (promise for promise in state.promises if promise.mechanism is name)
    return next(known, Promise(mechanism=name))


def _layers(state: Snapshot, spec: ShareSpec) -> tuple[tuple[MechanismName, ...], tuple[str, ...]]:
    """What limits memory, and the guard wherever work must be held back or moved."""
    limit, said = _memory_layer(state, spec)
    held = _held_back(spec)
    if not held or not (state.machine.has(GUARD) or spec.turns):
        return limit, said
    layers = limit if GUARD in limit else (*limit, GUARD)
    return layers, (*said, f"on it {GUARD}: {held}")


def _memory_layer(
    state: Snapshot, spec: ShareSpec
) -> tuple[tuple[MechanismName, ...], tuple[str, ...]]:
    if spec.mechanism in LAYERS:
        return (spec.mechanism,), ()
    if whole_memory(spec):
        return (), ()
    no_driver_limit = state.machine.why_not(DRIVER_LIMIT)
    reasons = {
        DRIVER_LIMIT: "the driver limits the memory of control groups here",
        GUARD: f"the guard limits memory, for the driver does not: {no_driver_limit}",
    }
    for layer in LAYERS:
        if state.machine.has(layer):
            return (layer,), (f"on it {layer}: {reasons[layer]}",)
    return (), ("no layer that limits memory is available",)


def _held_back(spec: ShareSpec) -> str:
    """Why the guard is needed, beside memory limits."""
    if spec.turns:
        return "it moves memory off the GPU while others have their turn"
    if spec.compute.limit < FULL:
        return f"it holds the compute limit of {spec.compute.limit} % by turns in GPU time"
    if spec.priority is not Priority.NORMAL:
        return f"it keeps priority {spec.priority}"
    return ""


def _problem(state: Snapshot, spec: ShareSpec, stack: Stack) -> str:
    for name in stack.names:
        if not state.machine.has(name):
            return f"{name}: {state.machine.why_not(name)}"
    if stack.base.max_gpus is not None and spec.gpus > stack.base.max_gpus:
        return f"{stack.base.mechanism}: one share can have {stack.base.max_gpus} GPU by it"
    if not _isolates(stack, spec.isolation):
        return f"{'+'.join(stack.names)}: its memory limit is {stack.enforcement.memory}"
    return ""


def _isolates(stack: Stack, wanted: Isolation) -> bool:
    promise = stack.enforcement
    match wanted:
        case Isolation.ANY:
            return True
        case Isolation.LIMITED:
            return promise.memory.at_least(Level.COOPERATIVE)
        case Isolation.STRONG:
            return promise.memory is Level.ENFORCED
        case Isolation.HARD:
            parts = {promise.memory, promise.compute, promise.fault}
            return stack.base.alone or parts == {Level.ENFORCED}
