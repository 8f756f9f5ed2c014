# SPDX-License-Identifier: Apache-2.0
"""Which mechanisms could make a share real, best first."""

from collections.abc import Iterable, Iterator

from gpushare.model.errors import UnsupportedError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Need, Promise, Use, enforcement, stack_of
from gpushare.model.share import Enforcement, Level
from gpushare.model.spec import Isolation, MechanismName, Priority, ShareSpec
from gpushare.model.units import FULL
from gpushare.model.value import Value

from .state import Snapshot


class Stack(Value):
    """A base and the layers on it, and why they were taken.

    `whole`: the share has all of its GPUs' memory and compute. `holds`: it serves the need for
    which its base was taken; False: nothing else was there.
    """

    promises: tuple[Promise, ...]
    whole: bool = False
    holds: bool = True
    why: tuple[str, ...] = ()

    @property
    def base(self) -> Promise:
        """What decides how programs use the GPU; layers only limit them."""
        return self.promises[0]

    @property
    def names(self) -> tuple[MechanismName, ...]:
        """The base first, as decisions record it."""
        return tuple(promise.mechanism for promise in self.promises)

    @property
    def enforcement(self) -> Enforcement:
        """The strongest level that base and layers together promise, by dimension."""
        return enforcement(self.promises, whole=self.whole)


def choices(
    state: Snapshot, spec: ShareSpec, gpus: Iterable[Gpu] | None = None
) -> tuple[Stack, ...]:
    """Every stack that the machine has and that holds what is asked for, best first: at least one.

    Whether there is room is not looked at. `gpus`: those that the share could have; all of the
    machine by default. Raises UnsupportedError with the reason for each one that is missing.
    """
    gpus = state.machine.gpus if gpus is None else tuple(gpus)
    stacks: list[Stack] = []
    missing: list[str] = []
    for base, use in _bases(state, spec, gpus):
        stack = _stack(state, spec, base, use)
        if problem := _problem(state, spec, stack) or _closed(state, spec, stack, gpus):
            missing.append(problem)
        else:
            stacks.append(stack)
    if not stacks:
        raise UnsupportedError(
            f"this machine cannot share a GPU{_wish(spec)}",
            "; ".join(missing),
            "see what it can do: gpushare gpus -o wide",
        )
    # One that leaves something unheld is for machines where nothing holds it, not against waiting.
    return tuple(stack for stack in stacks if stack.holds) or tuple(stacks[:1])


def refused_by_mode(state: Snapshot, base: Promise, gpus: Iterable[Gpu]) -> dict[GpuId, str]:
    """GPUs whose compute mode keeps programs from taking turns, if the base would have them do so.

    A share that has its GPU alone may have set the mode, which ends with the share.
    """
    if base.alone or base.served or not any(gpu.admits_one for gpu in gpus):
        return {}
    alone = {promise.mechanism for promise in state.promises if promise.alone}
    own = {
        gpu
        for share in state.shares
        if share.decision and not alone.isdisjoint(share.decision.mechanisms)
        for gpu in share.decision.gpus
    }
    return {g.uuid: g.admits_one for g in gpus if g.admits_one and g.uuid not in own}


def _closed(state: Snapshot, spec: ShareSpec, stack: Stack, gpus: Iterable[Gpu]) -> str:
    gpus = tuple(gpus)
    refused = refused_by_mode(state, stack.base, gpus)
    if not refused or len(gpus) - len(refused) >= spec.gpus:
        return ""
    return f"{stack.base.mechanism}: {'; '.join(refused.values())}"


def _wish(spec: ShareSpec) -> str:
    how = f" by {spec.mechanism}" if spec.mechanism else ""
    strict = spec.isolation is not Isolation.ANY
    return how + (f" with isolation {spec.isolation}" if strict else "")


def whole_memory(spec: ShareSpec) -> bool:
    """Whether the share asks for all of a GPU's memory, which leaves no room for others."""
    return spec.memory.limit is None and spec.memory.share is None


def _bases(state: Snapshot, spec: ShareSpec, gpus: Iterable[Gpu]) -> Iterator[tuple[Promise, Use]]:
    """Bases that serve the spec, best first, each once."""
    need = _base_need(spec)
    if spec.mechanism is not None:
        use = Use(need=need, why=f"{spec.mechanism} was requested")
        yield _named_base(state, spec.mechanism), use
        return
    layered = any(state.machine.has(layer.mechanism) for layer, _ in _layers_for(state, need))
    users = [
        (base, use)
        for base, use in _users(state, need, layer=False)
        if use.layered in {None, layered} and (use.max_gpus is None or spec.gpus <= use.max_gpus)
    ]
    if need is not Need.HARD and any(gpu.admits_one for gpu in gpus):
        users += _users(state, Need.MODE, layer=False)
    # Of two uses of one base the first counts, by which it was ranked.
    once: dict[MechanismName, tuple[Promise, Use]] = {}
    for base, use in users:
        once.setdefault(base.mechanism, (base, use))
    yield from once.values()


def _named_base(state: Snapshot, name: MechanismName) -> Promise:
    """The mechanism itself, or the usual base under it where it is a layer."""
    (named,) = stack_of(state.promises, (name,))
    usual = (base for base, _ in _users(state, Need.SHARED, layer=False))
    return next(usual, named) if named.layer else named


def _users(state: Snapshot, need: Need, *, layer: bool) -> list[tuple[Promise, Use]]:
    """Bases or layers that serve a need, by rank."""
    users = [
        (promise, use)
        for promise in state.promises
        for use in promise.uses
        if use.need is need and promise.layer is layer
    ]
    return sorted(users, key=lambda user: user[1].rank)


def _layers_for(state: Snapshot, need: Need) -> list[tuple[Promise, Use]]:
    return _users(state, need, layer=True)


def _why(use: Use, spec: ShareSpec, missing: str = "") -> str:
    return use.why.format(compute=spec.compute.limit, priority=spec.priority, missing=missing)


def _base_need(spec: ShareSpec) -> Need:
    """What decides about the base."""
    if spec.isolation is Isolation.HARD:
        return Need.HARD
    # No other share could have memory on such a GPU.
    if whole_memory(spec) and not spec.turns:
        return Need.WHOLE
    # Before compute: time slices can interrupt a kernel, which MPS cannot (ADR 0029).
    if spec.priority is not Priority.NORMAL:
        return Need.PRIORITY
    return Need.COMPUTE if spec.compute.limit < FULL else Need.SHARED


def _layer_need(spec: ShareSpec) -> Need | None:
    """What a layer is needed for besides a memory limit."""
    if spec.turns:
        return Need.TURNS
    if spec.compute.limit < FULL:
        return Need.COMPUTE
    return Need.PRIORITY if spec.priority is not Priority.NORMAL else None


def _stack(state: Snapshot, spec: ShareSpec, base: Promise, use: Use) -> Stack:
    layers, layer_reasons = _layers(state, spec)
    return Stack(
        promises=(base, *layers),
        whole=whole_memory(spec) and spec.compute.limit == FULL,
        holds=use.holds,
        why=(f"base {base.mechanism}: {_why(use, spec)}", *layer_reasons),
    )


def _layers(state: Snapshot, spec: ShareSpec) -> tuple[tuple[Promise, ...], tuple[str, ...]]:
    """What limits memory, and what serves the other need."""
    layers, reasons = _memory_layer(state, spec)
    need = _layer_need(spec)
    users = _layers_for(state, need) if need else []
    # Memory turns without such a layer are impossible, so it is taken, and found missing, anyway.
    usable = [u for u in users if need is Need.TURNS or state.machine.has(u[0].mechanism)]
    if not usable:
        return layers, reasons
    layer, use = usable[0]
    if layer not in layers:
        layers = (*layers, layer)
    return layers, (*reasons, f"layer {layer.mechanism}: {_why(use, spec)}")


def _memory_layer(state: Snapshot, spec: ShareSpec) -> tuple[tuple[Promise, ...], tuple[str, ...]]:
    if spec.mechanism is not None:
        (named,) = stack_of(state.promises, (spec.mechanism,))
        if named.layer:
            return (named,), ()
    if whole_memory(spec):
        return (), ()
    missing: list[str] = []
    for layer, use in _layers_for(state, Need.MEMORY):
        if state.machine.has(layer.mechanism):
            why = _why(use, spec, "; ".join(missing))
            return (layer,), (f"layer {layer.mechanism}: {why}",)
        missing.append(state.machine.why_not(layer.mechanism))
    return (), ("no layer that limits memory is available",)


def _problem(state: Snapshot, spec: ShareSpec, stack: Stack) -> str:
    for name in stack.names:
        if not state.machine.has(name):
            return f"{name}: {state.machine.why_not(name)}"
    if spec.near and stack.base.alone:
        return f"{stack.base.mechanism}: a share alone on its GPU is near no other; give it -m"
    if not _isolates(stack, spec.isolation):
        return _weakness(stack)
    return ""


def _weakness(stack: Stack) -> str:
    """Why a stack isolates less than was requested."""
    if stack.base.alone and stack.base.card.but:
        return f"{stack.base.mechanism}: {stack.base.card.but}"
    return f"{'+'.join(stack.names)}: its memory limit is {stack.enforcement.memory}"


def _isolates(stack: Stack, isolation: Isolation) -> bool:
    promise = stack.enforcement
    match isolation:
        case Isolation.ANY:
            return True
        case Isolation.LIMITED:
            return promise.memory.at_least(Level.COOPERATIVE)
        case Isolation.STRONG:
            return promise.memory is Level.ENFORCED
        case Isolation.HARD:
            parts = {promise.memory, promise.compute, promise.fault}
            locked = stack.base.alone and stack.base.card.level is Level.ENFORCED
            return locked or parts == {Level.ENFORCED}
