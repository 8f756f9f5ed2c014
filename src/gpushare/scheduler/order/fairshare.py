# SPDX-License-Identifier: Apache-2.0
"""The fair share of each tenant: which part of the machine it is entitled to, and how much it has.

First every tenant gets what it is guaranteed, as far as it wants it. What is left is divided among
siblings that want more, in rounds until none wants more or nothing is left, in proportion to

    P = max(W + K (W - U), 0)

W is the tenant's weight divided by the weights of all siblings that want something, U the part of
the machine that it used recently: a tenant that used more than its weight gets less for a while.
Memory and compute are divided separately; a tenant's saturation is that of the dimension of which
it has more.

Invariants: the division repeats from the root tenants down, so children share what their parent
got, and the parent itself takes part as one more child (`own`). Fair shares of siblings add
up to no more than their pool. A tenant that wants nothing gets nothing. Only ratios of weights
matter: doubling all of them changes no share.
"""

from collections.abc import Iterable, Sequence
from math import inf, log
from typing import NamedTuple

from msgspec.structs import replace

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount
from gpushare.model.share import Cause, Share
from gpushare.model.units import FULL, Bytes, Percent
from gpushare.model.value import Value
from gpushare.scheduler.request.state import Snapshot

from .load import NOTHING, Load, capacity, granted, held, needs, of
from .tenancy import reserves

K = 1.0  # how much past use counts against weights
CRUMB = 1e-9  # of the machine: rounding, not worth another round


class Node(NamedTuple):
    """A tenant with all that is below it, or (`own`) what it has and wants besides its children."""

    tenant: Tenant
    own: bool = False


class Fractions(NamedTuple):
    """Fractions of the machine."""

    memory: float = 0.0
    compute: float = 0.0


class Entitlement(NamedTuple):
    """One sibling's: what it is owed and wants, its weight, and the part it used recently."""

    owed: Fractions
    wanted: Fractions
    weight: int
    used: float


class FairShares(Value):
    """Per node what it holds, wants, and fairly had; `whole` is the machine.

    `used`: the part of the machine that it used recently, over its weight.
    """

    whole: Load
    held: dict[Node, Load]
    wanted: dict[Node, Load]
    fair: dict[Node, Fractions]
    used: dict[Node, float]

    def saturation(self, node: Node) -> float:
        """Held over fair, of what it has more; inf: it wants something and nothing is left."""
        has, wants = (
            _fractions(of_it.get(node, NOTHING), self.whole) for of_it in (self.held, self.wanted)
        )
        fair = self.fair.get(node, Fractions())
        return max(_ratio(*figures) for figures in zip(has, fair, wants, strict=True))

    def levels(self, nodes: Iterable[Node]) -> tuple[float, ...]:
        """How full a tenant is, from its root down; equally full ones by what they have used."""
        return tuple(
            figure for node in nodes for figure in (self.saturation(node), self.used.get(node, 0.0))
        )

    def with_more(self, nodes: Iterable[Node], load: Load) -> "FairShares":
        """As if the nodes held so much more of what they want."""
        more = {node: self.held.get(node, NOTHING) + load for node in nodes}
        return replace(self, held=self.held | more)


def _ratio(has: float, fair: float, wants: float) -> float:
    if fair > CRUMB:
        return has / fair
    return inf if has or wants else 0.0


def saturation(state: Snapshot, tenant: Tenant) -> float:
    """What a tenant and its children hold over their fair share: 1.0 is just that.

    0: it holds nothing. inf: it holds or wants something, and has used so much that none is left.
    """
    return fair_shares(state).saturation(Node(tenant))


def path(state: Snapshot, tenant: Tenant) -> tuple[Node, ...]:
    """From the root above a tenant down to its own; saturations are compared in that order."""
    above = (Node(name) for name in reversed(state.policy.line(tenant)))
    return (*above, Node(tenant, own=True))


def fair_shares(state: Snapshot) -> FairShares:
    """For all tenants that hold or want something; waiting and suspended shares count as wanted."""
    has = _sums(state, _holdings(state))
    wants = _wanted(state, has)
    whole = capacity(state.machine)
    entitlements = _entitlements(state, wants, whole)
    return FairShares(
        whole=whole,
        held=has,
        wanted=wants,
        fair=_allotted(state, entitlements),
        used={
            node: entitlement.used / entitlement.weight
            for node, entitlement in entitlements.items()
        },
    )


def _holdings(state: Snapshot) -> list[tuple[Tenant, Load]]:
    loads = held(state)
    return [(share.tenant, loads[share.id]) for share in state.shares]


def _requested_loads(state: Snapshot) -> list[tuple[Tenant, Load]]:
    asked = {request.id for request in state.queue}
    back = [share for share in state.shares if comes_back(share) and share.id not in asked]
    asks = zip(state.queue, needs(state, state.queue), strict=True)
    return [(share.tenant, granted(state, share)) for share in back] + [
        (request.tenant, load) for request, load in asks
    ]


def comes_back(share: Share) -> bool:
    """Whether it was suspended to take back what it had borrowed."""
    return share.suspension is not None and share.suspension.cause is Cause.RECLAIM


def _sums(state: Snapshot, loads: Iterable[tuple[Tenant, Load]]) -> dict[Node, Load]:
    sums: dict[Node, Load] = {}
    for tenant, load in loads:
        for node in path(state, tenant):
            sums[node] = sums.get(node, NOTHING) + load
    return sums


def _wanted(state: Snapshot, has: dict[Node, Load]) -> dict[Node, Load]:
    """What each has and waits for, as far as limits let it: deepest first, as parents want it."""
    own: dict[Tenant, Load] = {}
    for tenant, load in (*_holdings(state), *_requested_loads(state)):
        own[tenant] = own.get(tenant, NOTHING) + load
    wanted = {Node(tenant, own=True): load for tenant, load in own.items()}
    everyone = {name for tenant in own for name in state.policy.line(tenant)}
    for tenant in sorted(everyone, key=lambda name: (-len(state.policy.line(name)), name)):
        spec = state.policy.spec(tenant)
        load_wanted = _capped(own.get(tenant, NOTHING), spec.limit, has.get(Node(tenant), NOTHING))
        wanted[Node(tenant)] = load_wanted
        if spec.parent is not None:
            own[spec.parent] = own.get(spec.parent, NOTHING) + load_wanted
    return wanted


def _capped(load_wanted: Load, limit: Amount, has: Load) -> Load:
    memory = load_wanted.memory if limit.memory is None else min(load_wanted.memory, limit.memory)
    compute = (
        load_wanted.compute if limit.compute is None else min(load_wanted.compute, limit.compute)
    )
    # A tenant may hold more than its limit, when that was lowered; what it holds it also wants.
    return Load(memory=Bytes(max(memory, has.memory)), compute=Percent(max(compute, has.compute)))


def _allotted(state: Snapshot, entitlements: dict[Node, Entitlement]) -> dict[Node, Fractions]:
    """The machine divided among the roots, what each gets among its children, and so on down."""
    fair: dict[Node, Fractions] = {}
    pools = [(Fractions(1.0, 1.0), _below(state, entitlements, None))]
    while pools:
        pool, nodes = pools.pop()
        for node, part in zip(nodes, divided(pool, [entitlements[n] for n in nodes]), strict=True):
            fair[node] = part
            if not node.own:
                pools.append((part, _below(state, entitlements, node.tenant)))
    return fair


def _below(state: Snapshot, nodes: Iterable[Node], parent: Tenant | None) -> list[Node]:
    """Who shares what the parent has: its children, and the parent for itself."""

    def above(node: Node) -> Tenant | None:
        return node.tenant if node.own else state.policy.spec(node.tenant).parent

    # In a fixed order, so that the same state gives the same answer to the last bit.
    return sorted(node for node in nodes if above(node) == parent)


def _entitlements(state: Snapshot, wants: dict[Node, Load], whole: Load) -> dict[Node, Entitlement]:
    spare, window = reserves(state.policy), _window(state, whole)
    entitlements = {}
    for node, load_wanted in wants.items():
        spec = state.policy.spec(node.tenant)
        owed = spare.get(node.tenant, NOTHING) if node.own else of(spec.guaranteed)
        entitlements[node] = Entitlement(
            owed=_fractions(owed, whole),
            wanted=_fractions(load_wanted, whole),
            # What a parent uses itself counts as one more child of weight 1 among its children.
            weight=1 if node.own else spec.weight,
            used=_used(state, node) / window,
        )
    return entitlements


def _used(state: Snapshot, node: Node) -> float:
    """GPU seconds, decayed."""
    used = state.usage.get(node.tenant, 0.0)
    if node.own:
        tenants = state.policy.tenants.items()
        below = [name for name, child in tenants if child.parent == node.tenant]
        # `usage` includes the children of each tenant.
        used -= sum(state.usage.get(name, 0.0) for name in below)
    return max(0.0, used)


def _window(state: Snapshot, whole: Load) -> float:
    """What decayed usage comes to when every GPU is used all the time, in GPU seconds."""
    # The integral of 0.5 ** (t / half_life) over all past time is half_life / ln 2.
    return max(whole.compute / FULL, 1.0) * state.policy.half_life / log(2)


def _fractions(load: Load, whole: Load) -> Fractions:
    return Fractions(load.memory / max(whole.memory, 1), load.compute / max(whole.compute, 1))


def divided(pool: Fractions, entitlements: Sequence[Entitlement]) -> list[Fractions]:
    """What of the pool is fair for each of the siblings."""
    weights = [float(entitlement.weight) for entitlement in entitlements]
    fractions = [weight / sum(weights) for weight in weights]
    pairs = zip(fractions, entitlements, strict=True)
    portions = [max(part + K * (part - entitlement.used), 0.0) for part, entitlement in pairs]
    memory = [(entitlement.owed.memory, entitlement.wanted.memory) for entitlement in entitlements]
    compute = [
        (entitlement.owed.compute, entitlement.wanted.compute) for entitlement in entitlements
    ]
    parts = zip(
        _rounds(pool.memory, memory, portions, weights),
        _rounds(pool.compute, compute, portions, weights),
        strict=True,
    )
    return [Fractions(*both) for both in parts]


def _rounds(
    pool: float,
    entitlements: Sequence[tuple[float, float]],
    portions: Sequence[float],
    weights: Sequence[float],
) -> list[float]:
    """One dimension. Siblings without a portion get what others leave, by weight."""
    got = [min(owed, wanted) for owed, wanted in entitlements]
    if sum(got) > pool:  # guarantees exceed the machine, as when a GPU is lost
        return [part * pool / sum(got) for part in got]
    # Guarantees come first. Weights and past use only decide about the rest.
    left = pool - sum(got)
    while left > CRUMB:
        unsatisfied = [n for n, (_, wanted) in enumerate(entitlements) if wanted - got[n] > CRUMB]
        # A tenant that used twice its weight or more has no portion. If all have none, weights
        # decide alone: what is left must not stay idle.
        by = portions if any(portions[n] for n in unsatisfied) else weights
        if not unsatisfied:
            break
        among = sum(by[n] for n in unsatisfied)
        more = {n: min(left * by[n] / among, entitlements[n][1] - got[n]) for n in unsatisfied}
        got = [part + more.get(n, 0.0) for n, part in enumerate(got)]
        left -= sum(more.values())
    return got
