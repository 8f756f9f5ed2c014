# SPDX-License-Identifier: Apache-2.0
"""The tree of tenants: what each holds, what of it is guaranteed, and what it may have more.

Guarantees are kept in reserves. A tenant's reserve is its guarantee less what its children are
guaranteed, so that all reserves together are what the roots are guaranteed. A share is *in quota*
when all of it comes out of the reserves of its tenant and of those above; else it has *borrowed*.
So a child may use what its parent is guaranteed and has promised to no child, and no tenant can use
up what is promised to a sibling.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gpushare.model.errors import QuotaError
from gpushare.model.gpu import Machine
from gpushare.model.ids import ShareId, Tenant
from gpushare.model.policy.tenant import DAY, Amount, Policy, TenantSpec
from gpushare.model.promise import Promise
from gpushare.model.share import Share
from gpushare.model.units import format_bytes
from gpushare.model.value import Value
from gpushare.scheduler.request.state import Request, Snapshot

from .load import NOTHING, Load, capacity, claimed, held, need, needs, of, total

Reserves = Mapping[Tenant, Load]


class Tenancy(Value):
    """`held`: by each tenant, its children's included. `quota`: shares within a guarantee.

    `borrowed`: shares that are not. `left`: what is unused of each tenant's reserve.
    """

    held: dict[Tenant, Load]
    quota: frozenset[ShareId]
    borrowed: frozenset[ShareId]
    left: dict[Tenant, Load]


class _Newest(NamedTuple):
    """A tenancy and the parts of the state that it follows from."""

    of: tuple[Machine, tuple[Share, ...], tuple[Promise, ...], Policy]
    tenancy: Tenancy


_newest: list[_Newest] = []


def tenancy(state: Snapshot) -> Tenancy:
    """Shares are counted in the order they were granted, so a new one never turns an older one into
    a borrowed one; first of all those that do not borrow.

    Every waiting request asks for it, so the newest is kept as long as the same values are given.
    """
    of = state.machine, state.shares, state.promises, state.policy
    for newest in _newest:
        if all(one is other for one, other in zip(newest.of, of, strict=True)):
            return newest.tenancy
    _newest[:] = [_Newest(of, _counted_up(state))]
    return _newest[0].tenancy


def _counted_up(state: Snapshot) -> Tenancy:
    # Usage counts what shares hold now. Whether they are in quota counts what they held before they
    # were throttled.
    loads, claims = held(state), claimed(state)
    left = reserves(state.policy)
    quota: set[ShareId] = set()
    holding = [share for share in state.shares if share.decision and not share.aside]
    for share in sorted(holding, key=_seniority):
        rest = cover(state.policy, left, share.tenant, claims[share.id])
        if rest is not None:
            left = rest
            quota.add(share.id)
    return Tenancy(
        held=rolled_up(state.policy, ((share.tenant, loads[share.id]) for share in holding)),
        quota=frozenset(quota),
        borrowed=frozenset(share.id for share in holding) - quota,
        left=left,
    )


def since(share: Share) -> float:
    """When it got its place, as seconds of the epoch."""
    return (share.granted or share.started or share.created).timestamp()


def _seniority(share: Share) -> tuple[bool, float, ShareId]:
    return share.spec.borrow, since(share), share.id


def rolled_up(policy: Policy, loads: Iterable[tuple[Tenant, Load]]) -> dict[Tenant, Load]:
    """Sums per tenant, with everything that is below it."""
    sums: dict[Tenant, Load] = {}
    for tenant, load in loads:
        for name in policy.line(tenant):
            sums[name] = sums.get(name, NOTHING) + load
    return sums


def reserves(policy: Policy) -> dict[Tenant, Load]:
    """What each tenant is guaranteed and has promised to no child."""
    return {
        name: of(spec.guaranteed) - total(of(child.guaranteed) for child in _children(policy, name))
        for name, spec in policy.tenants.items()
    }


def _children(policy: Policy, parent: Tenant | None) -> list[TenantSpec]:
    return [spec for spec in policy.tenants.values() if spec.parent == parent]


def cover(policy: Policy, left: Reserves, tenant: Tenant, load: Load) -> dict[Tenant, Load] | None:
    """The reserves after the load was taken out of them; None when they do not cover it.

    Compute counts only where some tenant is guaranteed some. A load without memory is guaranteed
    nothing, and so it is not in quota.
    """
    rest, after = _counted(policy, load), dict(left)
    for name in policy.line(tenant):
        # The tenant's own reserve first, then those above it, which are promised to no child.
        taken = rest.least(after.get(name, NOTHING))
        rest, after[name] = rest - taken, after.get(name, NOTHING) - taken
    return after if rest == NOTHING and load.memory else None


def _counted(policy: Policy, load: Load) -> Load:
    # Otherwise a share with a whole GPU, which keeps all its compute from others, could never be in
    # quota where no compute is guaranteed.
    compute = any(spec.guaranteed.compute for spec in policy.tenants.values())
    return load if compute else Load(memory=load.memory)


def in_quota(state: Snapshot, request: Request) -> bool:
    """Whether all of it would be within the guarantee, when those before it are granted; with the
    others of its gang."""
    members = together(request, state.queue)
    left: Reserves = tenancy(state).left
    for earlier in state.queue:
        if earlier not in members:
            left = cover(state.policy, left, earlier.tenant, need(state, earlier)) or left
    load = total(needs(state, members))
    return cover(state.policy, left, request.tenant, load) is not None


def together(request: Request, requests: Iterable[Request]) -> tuple[Request, ...]:
    """The request, with the others of its gang that wait."""
    gang = request.spec.gang
    if gang is None:
        return (request,)
    others = (r for r in requests if r.tenant == request.tenant and r.spec.gang == gang)
    return (request, *(other for other in others if other != request))


def admission(state: Snapshot, request: Request) -> str:
    """Why the tenant may not have this now, whether there is room or not; "" when it may.

    Raises QuotaError when waiting would not help: it is above a limit of the tenant or of one above
    even when that holds nothing else, or they have as many shares as they may. The number of shares
    is looked at when a share is asked for (a request without an id), as waiting ones count. Of a
    gang all that have come are looked at together.
    """
    _check_user(state, request)
    line = state.policy.line(request.tenant)
    if request.spec.borrow and not any(_bounded(state.policy.spec(name)) for name in line):
        return ""
    load = total(needs(state, together(request, state.queue)))
    for name in line:
        spec = state.policy.spec(name)
        _check_count(state, name, spec, request)
        _check_ever(name, spec, load)
        if reason := _limited(state, name, load):
            return reason
    return _unborrowed(state, request, load)


def _bounded(spec: TenantSpec) -> bool:
    """Whether there is anything to look at for the tenant."""
    return spec.limit != Amount() or spec.gpu_hours is not None or spec.shares is not None


def _check_user(state: Snapshot, request: Request) -> None:
    # Root creates shares for others, and can change the policy.
    if request.id or request.uid == 0:
        return
    count = sum(other.uid == request.uid for other in _living(state))
    if count >= state.policy.shares_per_user:
        raise QuotaError(
            "one user may not have more shares",
            f"{count} of {state.policy.shares_per_user}, waiting ones included",
            "release one: gpushare rm; an operator can raise shares_per_user in the policy",
        )


def _living(state: Snapshot) -> Iterable[Share | Request]:
    # A reservation whose time has come is in the queue too.
    owners: tuple[Share | Request, ...] = (*state.queue, *state.booked, *state.shares)
    return {owner.id: owner for owner in owners}.values()


def _check_count(state: Snapshot, name: Tenant, spec: TenantSpec, request: Request) -> None:
    if spec.shares is None or request.id:
        return
    count = sum(name in state.policy.line(other.tenant) for other in _living(state))
    if count >= spec.shares:
        raise QuotaError(
            f"tenant {name} has as many shares as it may have",
            f"{count} of {spec.shares}, waiting ones included",
            "release one: gpushare rm",
        )


def _check_ever(name: Tenant, spec: TenantSpec, load: Load) -> None:
    if excess := _excess(spec.limit, load):
        because = f"{excess}, even with nothing else"
    elif spec.gpu_hours == 0:
        because = "it may have no GPU hours"
    else:
        return
    raise QuotaError(
        f"tenant {name} may never have that", because, "see its limits: gpushare quota ls"
    )


def _limited(state: Snapshot, name: Tenant, load: Load) -> str:
    spec = state.policy.spec(name)
    if excess := _excess(spec.limit, load + _held(state, name, spec)):
        return f"others of tenant {name} to end: with this one it would have {excess}"
    used = state.hours.get(name, 0.0)
    if spec.gpu_hours is not None and used >= spec.gpu_hours:
        days = f"{state.policy.period / DAY:g}"
        return (
            f"GPU hours of tenant {name}: {used:.1f} of {spec.gpu_hours:g} in {days} days are used"
        )
    return ""


def _held(state: Snapshot, name: Tenant, spec: TenantSpec) -> Load:
    """What counts against the tenant's limit; not looked at where there is none."""
    return tenancy(state).held.get(name, NOTHING) if spec.limit != Amount() else NOTHING


def _excess(limit: Amount, load: Load) -> str:
    """What is above the limit; "" when nothing is."""
    if limit.memory is not None and load.memory > limit.memory:
        return (
            f"{format_bytes(load.memory)} of memory, and its limit is {format_bytes(limit.memory)}"
        )
    if limit.compute is not None and load.compute > limit.compute:
        return f"{load.compute} % of compute, and its limit is {limit.compute} %"
    return ""


def _unborrowed(state: Snapshot, request: Request, load: Load) -> str:
    """Why a share that does not borrow is not within the guarantee."""
    if request.spec.borrow or in_quota(state, request):
        return ""
    if cover(state.policy, reserves(state.policy), request.tenant, load) is None:
        raise QuotaError(
            f"tenant {request.tenant} is not guaranteed that much",
            f"it would need {load}, and the share may not borrow",
            "let it borrow, or see what is guaranteed: gpushare quota ls",
        )
    return f"others within the guarantee of tenant {request.tenant} to end, for it may not borrow"


def overcommitted(policy: Policy, machine: Machine) -> tuple[str, ...]:
    """Why the guarantees could not all be kept at the same time; empty when they could.

    What the roots are guaranteed must fit the machine, what children are guaranteed their parent's
    guarantee. Users in no tenant cannot be guaranteed anything, because their number is unknown.
    """
    problems = [
        _too_much(f"tenant {name}", of(spec.guaranteed), _children(policy, name))
        for name, spec in policy.tenants.items()
    ]
    problems.append(_too_much("the machine", capacity(machine), _children(policy, None)))
    if of(policy.default.guaranteed) != NOTHING:
        problems.append("users in no tenant are guaranteed something, however many they are")
    return tuple(filter(None, problems))


def _too_much(name: str, has: Load, below: list[TenantSpec]) -> str:
    promised = total(of(spec.guaranteed) for spec in below)
    if promised.within(has):
        return ""
    whose = "has" if name == "the machine" else "is guaranteed"
    return f"{name} {whose} {has}, and {promised} are guaranteed below it"
