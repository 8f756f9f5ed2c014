# SPDX-License-Identifier: Apache-2.0
"""Which GPUs are joined best."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import comb

from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId

_BUS = {"PIX": 5, "PXB": 4, "PHB": 3, "NODE": 2, "SYS": 1}  # nearest first; 0: not known
_BY_WIRE = 10  # any NVLink is better than any way over the bus
_SETS = comb(16, 8)  # so many sets are looked through; of more only the likely ones

Worth = tuple[int, int, int]  # the worst link, the sum of links, less NUMA nodes: more is better


@cache
def worth(link: str) -> int:
    """A link's place among the kinds there are; 0 for one that is not known."""
    if match := re.fullmatch(r"NV(\d+)", link):
        return _BY_WIRE + int(match[1])
    return _BUS.get(link, 0)


class Links:
    """How the GPUs of a machine are joined."""

    def __init__(self, machine: Machine) -> None:
        self._names = machine.links

    def name(self, one: GpuId, other: GpuId) -> str:
        """The link as NVML names it, `NV18` or `PIX`; empty if it is not known."""
        return self._names.get(one, {}).get(other, "")

    def between(self, one: Gpu, other: Gpu) -> int:
        """The worth of the link; 0 if it is not known."""
        return worth(self.name(one.uuid, other.uuid))

    def joined(self, gpu: Gpu, others: Sequence[Gpu]) -> int:
        """How well a GPU is joined to others, itself left out."""
        return sum(self.between(gpu, other) for other in others if other.uuid != gpu.uuid)

    def worth(self, gpus: Sequence[Gpu]) -> Worth:
        """Of a set of GPUs; 0 for the links of a single one."""
        links = [self.between(*pair) for pair in combinations(gpus, 2)]
        return min(links, default=0), sum(links), -len({gpu.numa for gpu in gpus})

    def worst(self, gpus: Sequence[Gpu]) -> str:
        """The name of the worst link among them."""
        pairs = [self.name(one.uuid, other.uuid) for one, other in combinations(gpus, 2)]
        return min(pairs, key=worth, default="")


def best(links: Links, gpus: Sequence[Gpu], count: int) -> tuple[int, ...]:
    """Places in `gpus` of the `count` that are joined best; of equal sets the earliest ones."""
    if count == 1 or count == len(gpus):
        return tuple(range(count))
    if comb(len(gpus), count) > _SETS:
        return _grown(links, gpus, count)
    return _SetSearch(links, gpus, count).run()


def _grown(links: Links, gpus: Sequence[Gpu], count: int) -> tuple[int, ...]:
    """From each GPU on, the next is always the one that is joined best to those before it."""
    sets = [_from(links, gpus, first, count) for first in range(len(gpus))]
    return max(sets, key=lambda places: links.worth([gpus[place] for place in places]))


def _from(links: Links, gpus: Sequence[Gpu], first: int, count: int) -> tuple[int, ...]:
    places = [first]

    def joined(place: int) -> Worth:
        to_others = [links.between(gpus[place], gpus[other]) for other in places]
        alike = sum(gpus[place].numa == gpus[other].numa for other in places)
        return min(to_others), sum(to_others), alike

    while len(places) < count:
        rest = (place for place in range(len(gpus)) if place not in places)
        places.append(max(rest, key=joined))
    return tuple(sorted(places))


class _SetSearch:
    """All sets in order, cut short where a set that is begun cannot become better than the best."""

    def __init__(self, links: Links, gpus: Sequence[Gpu], count: int) -> None:
        self._gpus, self._count = gpus, count
        self._links = [[links.between(one, other) for other in gpus] for one in gpus]
        self._top = max(max(row) for row in self._links)
        self._best: Worth | None = None
        self._found: tuple[int, ...] = ()

    def run(self) -> tuple[int, ...]:
        self._grow((), self._top, 0)
        return self._found

    def _grow(self, places: tuple[int, ...], worst: int, total: int) -> None:
        if self._best is not None and self._hope(places, worst, total) <= self._best:
            return
        missing = self._count - len(places)
        if missing == 0:
            self._best, self._found = self._hope(places, worst, total), places
            return
        begin = places[-1] + 1 if places else 0
        for place in range(begin, len(self._gpus) - missing + 1):
            row = [self._links[place][earlier] for earlier in places]
            self._grow((*places, place), min([worst, *row]), total + sum(row))

    def _hope(self, places: tuple[int, ...], worst: int, total: int) -> Worth:
        """The most that a set which begins so can be worth."""
        pairs = comb(self._count, 2) - comb(len(places), 2)
        nodes = len({self._gpus[place].numa for place in places})
        return worst, total + pairs * self._top, -max(1, nodes)
