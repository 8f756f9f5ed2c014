# SPDX-License-Identifier: Apache-2.0
"""What a decision is made from, and its answers."""

from datetime import datetime

from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Policy
from gpushare.model.profile import Profile
from gpushare.model.promise import Promise
from gpushare.model.share import Share
from gpushare.model.spec import MechanismName, ShareSpec
from gpushare.model.units import Bytes
from gpushare.model.value import Value


class Request(Value):
    """What is requested, for which tenant and user: one MPS server serves one user only.

    `asked`: since when it waits; None: it is new. `id`: of a share that waits already.
    """

    spec: ShareSpec
    uid: int
    tenant: Tenant = Tenant("")
    id: ShareId = ShareId("")
    asked: datetime | None = None
    program: str = ""


class Snapshot(Value):
    """Everything that `decide` may know.

    `shares` hold capacity; `queue` goes before the request at hand; `booked` are reservations that
    have not begun; `promises` is what the mechanisms of this machine claim; `foreign` is memory
    held by programs outside any share. `usage`: GPU seconds per tenant, decayed, its children's
    included; `hours`: GPU hours within the policy's period, likewise. `unmovable`: why a share
    could not be suspended now, `unmigratable`: why it could not move to another GPU; absent: it
    could. `host`: bytes of host memory that shares which take turns on a GPU can leave it for;
    absent: not known to be bounded. `unready`: why a mechanism serves no new share on a GPU now.
    """

    machine: Machine
    shares: tuple[Share, ...] = ()
    queue: tuple[Request, ...] = ()
    promises: tuple[Promise, ...] = ()
    foreign: dict[GpuId, Bytes] = {}
    now: datetime | None = None
    policy: Policy = Policy()
    booked: tuple[Share, ...] = ()
    usage: dict[Tenant, float] = {}
    hours: dict[Tenant, float] = {}
    unmovable: dict[ShareId, str] = {}
    unmigratable: dict[ShareId, str] = {}
    profiles: tuple[Profile, ...] = ()
    host: dict[GpuId, Bytes] = {}
    unready: dict[GpuId, dict[MechanismName, str]] = {}


class Waiting(Value):
    """Not now. `position` counts from 1; `eta` only where the shares in the way have a ttl."""

    position: int
    waits_for: str
    eta: datetime | None = None
