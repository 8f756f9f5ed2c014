# SPDX-License-Identifier: Apache-2.0
"""How much programs slow each other down, from what was seen of them before."""

from collections.abc import Iterable

from gpushare.model.profile import Profile
from gpushare.model.share import Share
from gpushare.model.value import Value

from .state import Request

ENOUGH = 60.0  # seconds together, and alone, before a profile counts
NOISE = 0.1  # a difference in slowdown that decides nothing
_MOST = 100.0  # the slowdown of a program that stood still


class Encounter(Value):
    """One program next to another; `slowdown` 1.8 is 1.8 times slower than alone."""

    program: str
    beside: str
    slowdown: float
    neighbour: Share


class Interference:
    """Slowdowns that are known, summed over all profiles of a pair."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}
        for profile in profiles:
            seconds, work = self._seen.get((profile.program, profile.beside), (0.0, 0.0))
            self._seen[profile.program, profile.beside] = (
                seconds + profile.seconds,
                work + profile.work,
            )

    def slowdown(self, program: str, beside: str) -> float | None:
        """Rate alone over rate next to the other; None when too little was measured."""
        if not program or not beside:
            return None
        alone, together = self._rate(program, ""), self._rate(program, beside)
        if not alone or together is None:
            return None
        return min(_MOST, alone / together) if together else _MOST

    def _rate(self, program: str, beside: str) -> float | None:
        seconds, work = self._seen.get((program, beside), (0.0, 0.0))
        return work / seconds if seconds >= ENOUGH else None

    def encounters(self, request: Request, neighbours: Iterable[Share]) -> list[Encounter]:
        """What is known of the request's program with each neighbour, in both directions."""
        if not self._seen or not request.program:
            return []
        pairs = [
            (program, beside, share)
            for share in neighbours
            for program, beside in (
                (request.program, share.program),
                (share.program, request.program),
            )
        ]
        return [
            Encounter(program=program, beside=beside, slowdown=slowdown, neighbour=share)
            for program, beside, share in pairs
            if (slowdown := self.slowdown(program, beside)) is not None
        ]


def harm(encounters: Iterable[Encounter]) -> float:
    """What both sides lose, summed over the neighbours; apparent gains are noise."""
    return sum(max(0.0, encounter.slowdown - 1) for encounter in encounters)
