# SPDX-License-Identifier: Apache-2.0
"""Tenants and the rules of one machine, as one value: the policy."""

from enum import StrEnum, unique
from typing import Annotated

from msgspec import Meta

from gpushare.model.errors import PolicyError
from gpushare.model.ids import Tenant
from gpushare.model.units import Bytes, Percent, Seconds
from gpushare.model.value import Value

DAY = 86400
_NO_PARENT = "there is no such tenant"


class Amount(Value):
    """A part of the machine, over all of its GPUs; None: not set.

    Memory in bytes, compute in percent of one GPU: 250 is two GPUs and a half.
    """

    memory: Annotated[Bytes, Meta(ge=0)] | None = None
    compute: Annotated[Percent, Meta(ge=0)] | None = None


class TenantSpec(Value):
    """A user, group or project.

    `guaranteed`: what it gets back from tenants that borrowed it; absent figures are nothing.
    `limit`: the most it may have at once; absent figures are no limit. `gpu_hours`: the most within
    the policy's period. `shares`: the most at once, waiting ones included. `weight`: its part of
    what is guaranteed to no tenant, relative to its siblings. `users`, `groups`: its members, by
    name.
    """

    parent: Tenant | None = None
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    guaranteed: Amount = Amount()
    limit: Amount = Amount()
    gpu_hours: Annotated[float, Meta(ge=0)] | None = None
    shares: Annotated[int, Meta(ge=0)] | None = None
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1


@unique
class Placement(StrEnum):
    PACK = "pack"  # fill GPUs that are in use already, so that others stay whole
    SPREAD = "spread"  # the emptiest GPU first, so that neighbours are few


@unique
class Rung(StrEnum):
    """What may be done to a share that has borrowed, gentlest first."""

    THROTTLE = "throttle"
    SUSPEND = "suspend"
    MIGRATE = "migrate"
    EVICT = "evict"


@unique
class Visibility(StrEnum):
    """What one may know of others' shares."""

    OCCUPIED = "occupied"  # that they are there and how large
    SHARES = "shares"  # also whose they are, and their names


@unique
class IdleAct(StrEnum):
    NOTIFY = "notify"
    LOWER = "lower"  # to priority low
    SUSPEND = "suspend"


@unique
class EscapeAct(StrEnum):
    """What happens to a share whose limits do not hold."""

    REPORT = "report"
    SUSPEND = "suspend"  # the processes that escaped are stopped; their memory stays
    END = "end"


class IdlePolicy(Value):
    """What happens to a share that has used no GPU time for `after` seconds; None: nothing."""

    after: Annotated[Seconds, Meta(ge=60)] | None = None
    act: IdleAct = IdleAct.NOTIFY


class SizingPolicy(Value):
    """Right-sizing; off unless switched on.

    `grow`: limits of programs near their wall, by a quarter, up to `grow_to` times what was asked.
    `shrink`: requests down to the peak seen over `watch` seconds and a tenth more.
    """

    grow: bool = False
    shrink: bool = False
    grow_to: Annotated[float, Meta(ge=1, le=10)] = 2.0
    watch: Annotated[Seconds, Meta(ge=60)] = Seconds(1800)


class Policy(Value):
    """The rules of one machine.

    `default`: what holds for each user in no tenant. `half_life`: after so many seconds usage
    counts half. `period`: what `gpu_hours` are counted over. `min_runtime`: seconds that a share
    has its place before it can be taken back. `patience`: seconds after which a waiting share goes
    before others of its class. `ladder`: what may be done to borrowed shares. `shares_per_user`:
    the most shares of one user at once, waiting ones included, in all tenants together; root may
    have more. `on_escape`: what happens to a share whose limits do not hold.
    """

    tenants: dict[Tenant, TenantSpec] = {}
    default: TenantSpec = TenantSpec()
    placement: Placement = Placement.PACK
    half_life: Annotated[Seconds, Meta(ge=60)] = Seconds(7 * DAY)
    period: Annotated[Seconds, Meta(ge=3600)] = Seconds(30 * DAY)
    min_runtime: Annotated[Seconds, Meta(ge=0)] = Seconds(60)
    patience: Annotated[Seconds, Meta(ge=0)] = Seconds(3600)
    ladder: tuple[Rung, ...] = tuple(Rung)
    shares_per_user: Annotated[int, Meta(ge=1)] = 128
    visibility: Visibility = Visibility.OCCUPIED
    on_escape: EscapeAct = EscapeAct.REPORT
    idle: IdlePolicy = IdlePolicy()
    sizing: SizingPolicy = SizingPolicy()

    def __post_init__(self) -> None:
        for name in self.tenants:
            _check_line(self, name)
        if self.default.parent is not None and self.default.parent not in self.tenants:
            raise PolicyError(f"default has the parent {self.default.parent}", _NO_PARENT)

    @property
    def guarantees(self) -> bool:
        """Whether anything is guaranteed to any tenant."""
        owed = (spec.guaranteed for spec in (*self.tenants.values(), self.default))
        return any(amount.memory or amount.compute for amount in owed)

    def spec(self, tenant: Tenant) -> TenantSpec:
        """What holds for a tenant, or for a user in none."""
        return self.tenants.get(tenant, self.default)

    def line(self, tenant: Tenant) -> tuple[Tenant, ...]:
        """The tenant, its parent, and so on up."""
        line = [tenant]
        while (parent := self.spec(line[-1]).parent) is not None:
            line.append(parent)
        return tuple(line)


def _check_line(policy: Policy, name: Tenant) -> None:
    path, below, at = {name: None}, name, policy.tenants[name].parent
    while at is not None:
        if at not in policy.tenants:
            raise PolicyError(f"tenant {below} has the parent {at}", _NO_PARENT)
        if at in path:
            raise PolicyError(f"tenant {at} is below itself", " in ".join([*path, at]))
        path[at] = None
        below, at = at, policy.tenants[at].parent
