# SPDX-License-Identifier: Apache-2.0
"""How fast programs are that compute on the same GPU.

Model: each program computes on a part of its GPU (`need`). As long as the parts of a GPU fit
together, all run at full speed. Else each gets what is guaranteed to its share, as far as it needs
it, and what is left is divided equally among those that need more. A program on several GPUs is as
fast as on its slowest. Sharing costs a part of the GPU's time.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from gpushare.model.ids import GpuId, ShareId
from gpushare.model.spec import GpuGrant
from gpushare.model.units import FULL
from gpushare.model.value import Value


class Demand(Value):
    """A program that computes: what it needs of each GPU, and what its share was granted there."""

    id: ShareId
    need: float
    grants: tuple[GpuGrant, ...]


def speeds(demands: Sequence[Demand], cost: float) -> dict[ShareId, float]:
    """From 0 to 1. `cost`: the part of a GPU that is lost while several programs compute on it."""
    by_gpu: defaultdict[GpuId, list[tuple[Demand, GpuGrant]]] = defaultdict(list)
    for demand in demands:
        for grant in demand.grants:
            by_gpu[grant.gpu].append((demand, grant))
    found = {demand.id: 1.0 for demand in demands}
    for together in by_gpu.values():
        for name, speed in _on_one(together, cost if len(together) > 1 else 0.0).items():
            found[name] = min(found[name], speed)
    return found


def _on_one(together: Sequence[tuple[Demand, GpuGrant]], cost: float) -> dict[ShareId, float]:
    asked = {it.id: min(it.need, grant.compute / FULL) for it, grant in together}
    owed = {it.id: min(asked[it.id], grant.compute_request / FULL) for it, grant in together}
    more = {name: asked[name] - owed[name] for name in asked}
    left = shared_out(max(0.0, 1.0 - cost - sum(owed.values())), more)
    scale = min(1.0, (1.0 - cost) / max(sum(owed.values()), 1e-9))
    needs = {it.id: it.need for it, _ in together}
    return {
        name: min(1.0, (owed[name] * scale + left[name]) / needs[name]) if needs[name] else 1.0
        for name in asked
    }


def shared_out(pool: float, wanted: Mapping[ShareId, float]) -> dict[ShareId, float]:
    """The pool in equal parts, but to none more than it wants."""
    got: dict[ShareId, float] = {}
    left = pool
    waiting = sorted(wanted.items(), key=lambda item: item[1])
    for number, (name, want) in enumerate(waiting):
        part = min(want, left / (len(waiting) - number))
        got[name] = part
        left -= part
    return got
