# SPDX-License-Identifier: Apache-2.0
"""What a mechanism claims and how it behaves, as data.

A share is made real by a stack: one base, which gives it a place on a GPU, and layers on it, which
limit it further. Each mechanism states one `Promise`:

- claims: per dimension the level at which a limit holds, and what that level leaves open. A stack
  delivers the strongest claim of its mechanisms.
- facts: how it behaves where code outside `mechanisms/` must tell mechanisms apart (who is hit by a
  fault, what can change while programs run, whether the driver can checkpoint them).
- uses: for which needs of a share spec the scheduler takes it, in which order, and why.

Invariants: no code outside `mechanisms/` compares mechanism names; it asks a promise. A name
without a promise (a mechanism that this gpushare does not have) claims nothing. Every claim of a
base weaker than `enforced` says in `but` what it leaves open.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum, unique
from typing import Literal

from .escape import EscapeCause, EscapeKind
from .share import Enforcement, Level
from .spec import MechanismName
from .value import Value

Adjustable = Literal["memory", "compute", "priority"]


class Claim(Value):
    """How far one dimension holds, and the sentence about what it leaves open."""

    level: Level = Level.NONE
    but: str = ""


@unique
class Need(StrEnum):
    """What of a share spec decides which mechanisms are taken."""

    HARD = "hard"  # isolation hard
    WHOLE = "whole"  # no memory limit: all of a GPU
    SHARED = "shared"  # a part of a GPU, and nothing else
    MEMORY = "memory"  # a memory limit
    COMPUTE = "compute"  # a compute limit
    PRIORITY = "priority"  # a priority other than normal
    TURNS = "turns"  # memory turns
    MODE = "mode"  # several programs on a GPU in compute mode exclusive-process


class Use(Value):
    """A need that a mechanism serves.

    `rank`: lower is tried first. `layered`: only where some layer (True) or no layer (False) of the
    machine serves the need too; None: in both cases. `holds` false: the need stays open, so it is
    taken only where no other is on the machine. `max_gpus`: only for shares of at most that many.
    `why` is for `--explain`; it may contain {compute}, {priority}, and {missing}: why mechanisms of
    lower rank are not available.
    """

    need: Need
    why: str
    rank: int = 0
    layered: bool | None = None
    holds: bool = True
    max_gpus: int | None = None


@unique
class FaultDomain(StrEnum):
    """Which programs a fatal GPU fault ends."""

    PROGRAM = "program"  # the one that caused it
    GPU = "gpu"  # all programs under the mechanism on the same GPU


class Promise(Value):
    """One mechanism's claims, facts and uses.

    `layer`: stacks on a base. `alone`: a GPU under it takes no second share. `max_shares`: the
    most shares of one GPU, suspended ones included.
    `one_user`: a GPU under it serves shares of one uid at a time.

    `in_gpu_time`: its compute limit is a part of the GPU's time, not of its multiprocessors.
    `adjusts`: what can change while programs run. `moves_memory`: it takes programs' memory off the
    GPU, and to another one. `checkpointable`: the driver can checkpoint programs under it.
    `needs_group`: its limits hold for the share's control group only. `served`: a server uses the
    GPU for the programs, and NVML may list that instead of them. `preloaded`: it acts inside
    programs, and limits none that runs without it. `card`: its claim on memory and compute of a
    share that has all of GPUs under a base that is `alone`. `one_process`: the driver admits one
    process at a time to its GPUs.
    """

    mechanism: MechanismName
    memory: Claim = Claim()
    compute: Claim = Claim()
    fault: Claim = Claim()
    devices: Claim = Claim()
    also: tuple[str, ...] = ()
    layer: bool = False
    alone: bool = False
    card: Claim = Claim()
    one_process: bool = False
    max_shares: int | None = None
    one_user: bool = False
    uses: tuple[Use, ...] = ()
    fault_domain: FaultDomain = FaultDomain.PROGRAM
    in_gpu_time: bool = False
    adjusts: tuple[Adjustable, ...] = ()
    moves_memory: bool = False
    checkpointable: bool = True
    needs_group: bool = False
    served: bool = False
    preloaded: bool = False


DIMENSIONS = ("memory", "compute", "fault", "devices")


def stack_of(promises: Iterable[Promise], names: Sequence[MechanismName]) -> tuple[Promise, ...]:
    """The promises of these mechanisms, in the order of the names."""
    known = {promise.mechanism: promise for promise in promises}
    return tuple(known.get(name, Promise(mechanism=name)) for name in names)


def adjustable(stack: Iterable[Promise], what: Adjustable) -> bool:
    """Whether this can change while programs of the share run."""
    return any(what in promise.adjusts for promise in stack)


def shared_fault(stack: Iterable[Promise]) -> str:
    """The mechanism under which a fault ends all programs on the GPU; "" when there is none."""
    under = (p.mechanism.label for p in stack if p.fault_domain is FaultDomain.GPU)
    return next(under, "")


def unmigratable(stack: Iterable[Promise]) -> str:
    """Why the driver moves no programs under this stack to another GPU; "" when it does."""
    under = (promise.mechanism.label for promise in stack if not promise.checkpointable)
    return next((f"the driver moves no programs under {name}" for name in under), "")


def enforcement(stack: Sequence[Promise], *, whole: bool) -> Enforcement:
    """Per dimension the strongest claim of the stack.

    `whole`: the grants are the whole memory and compute of their GPUs. Where a base is alone on
    them, its `card` says how far others are kept away.
    """
    return Enforcement(**{name: claim.level for name, claim in _claims(stack, whole=whole)})


def unprotected(stack: Sequence[Promise], *, whole: bool) -> tuple[str, ...]:
    """What the stack leaves open, one sentence per dimension, then what holds for all of it."""
    sentences = [claim.but for _, claim in _claims(stack, whole=whole)]
    sentences += [sentence for promise in stack for sentence in promise.also]
    return tuple(dict.fromkeys(filter(None, sentences)))


def while_escaped(
    promised: Enforcement, stack: Sequence[Promise], causes: Iterable[EscapeCause]
) -> Enforcement:
    """The levels that hold while these escapes last: `reported` where the promise depended on what
    was escaped.

    A process without a guard still keeps what the driver or the hardware enforces.
    """
    levels = {name: getattr(promised, name) for name in DIMENSIONS}
    for cause in causes:
        bare = cause.kind in {EscapeKind.NO_GUARD, EscapeKind.STALE}
        for name in cause.kind.dimensions:
            left = _without_guard(name, levels[name], stack) if bare else Level.REPORTED
            levels[name] = _weaker(levels[name], left)
    return Enforcement(**levels)


def _without_guard(name: str, promised: Level, stack: Sequence[Promise]) -> Level:
    def level(promises: Iterable[Promise]) -> Level:
        return _strongest([getattr(promise, name) for promise in promises]).level

    by_guard = level(promise for promise in stack if promise.preloaded)
    if not by_guard.at_least(promised):
        return promised  # something stronger than the guard holds it
    rest = level(promise for promise in stack if not promise.preloaded)
    return rest if rest.at_least(Level.REPORTED) else Level.REPORTED


def _weaker(one: Level, other: Level) -> Level:
    return other if one.at_least(other) else one


def _claims(stack: Sequence[Promise], *, whole: bool) -> Iterable[tuple[str, Claim]]:
    cards = [promise.card for promise in stack if whole and promise.alone]
    for name in DIMENSIONS:
        claims: list[Claim] = [getattr(promise, name) for promise in stack]
        if name in {"memory", "compute"}:
            claims = [*claims, *cards]
        yield name, _strongest(claims)


def _strongest(claims: Sequence[Claim]) -> Claim:
    """Of equally strong claims the last: the topmost layer decides what is left open."""
    order = list(Level)
    level = min((claim.level for claim in claims), key=order.index, default=Level.NONE)
    equal = [claim for claim in claims if claim.level is level] or [Claim()]
    return equal[0] if level is Level.NONE else equal[-1]
