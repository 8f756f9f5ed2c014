# SPDX-License-Identifier: Apache-2.0
"""What a mechanism stands for, as data: the scheduler weighs it, `--explain` prints it."""

from collections.abc import Iterable, Sequence

from .share import Enforcement, Level
from .spec import MechanismName
from .value import Value


class Claim(Value):
    """How far one dimension holds, and the sentence about what it leaves open."""

    level: Level = Level.NONE
    but: str = ""


class Promise(Value):
    """One mechanism's claims.

    `layer`: stacks on a base mechanism. `alone`: a GPU under it takes no second share.
    `max_gpus`: the most GPUs one share can have under it. `one_user`: a GPU under it serves the
    shares of one uid at a time. `layers` cure what a base leaves open: see `enforcement`.
    """

    mechanism: MechanismName
    memory: Claim = Claim()
    compute: Claim = Claim()
    fault: Claim = Claim()
    devices: Claim = Claim()
    also: tuple[str, ...] = ()
    layer: bool = False
    alone: bool = False
    max_gpus: int | None = None
    one_user: bool = False


DIMENSIONS = ("memory", "compute", "fault", "devices")
_CARD = Claim(level=Level.ENFORCED)


def enforcement(stack: Sequence[Promise], *, whole: bool) -> Enforcement:
    """Per dimension the strongest claim of the stack.

    `whole`: the grants are the whole memory and compute of their GPUs. Alone on a GPU that is the
    limit, the card itself enforces it.
    """
    return Enforcement(**{name: claim.level for name, claim in _claims(stack, whole=whole)})


def unprotected(stack: Sequence[Promise], *, whole: bool) -> tuple[str, ...]:
    """What the stack leaves open, one sentence per dimension, then what holds for all of it."""
    sentences = [claim.but for _, claim in _claims(stack, whole=whole)]
    sentences += [sentence for promise in stack for sentence in promise.also]
    return tuple(dict.fromkeys(filter(None, sentences)))


def _claims(stack: Sequence[Promise], *, whole: bool) -> Iterable[tuple[str, Claim]]:
    card = whole and any(promise.alone for promise in stack)
    for name in DIMENSIONS:
        claims: list[Claim] = [getattr(promise, name) for promise in stack]
        if card and name in {"memory", "compute"}:
            claims.insert(0, _CARD)
        yield name, _strongest(claims)


def _strongest(claims: Sequence[Claim]) -> Claim:
    """Of several that are equally strong the one on top, which is what holds in the end."""
    order = list(Level)
    level = min((claim.level for claim in claims), key=order.index, default=Level.NONE)
    equal = [claim for claim in claims if claim.level is level] or [Claim()]
    return equal[0] if level is Level.NONE else equal[-1]
