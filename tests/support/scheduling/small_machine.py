# SPDX-License-Identifier: Apache-2.0
"""A lab of some tenants, their shares on a small machine, and what else they ask for."""

from datetime import timedelta

from msgspec.structs import replace

from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.share import Cause, Decision, Share, State, Suspension
from gpushare.model.spec import ComputeAsk, GpuGrant, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent
from gpushare.scheduler import Request
from support.scheduling.values import NOW, snapshot

GUARDED = (MechanismName.TIMESLICE, MechanismName.GUARD)


def amount(gib=None, compute=None) -> Amount:
    return Amount(memory=None if gib is None else Bytes(int(gib * GIB)), compute=compute)


def tenant(gib=None, compute=None, **changes) -> TenantSpec:
    return TenantSpec(guaranteed=amount(gib, compute), **changes)


def policy(tenants: dict[str, TenantSpec] | None = None, **changes) -> Policy:
    named = {Tenant(name): spec for name, spec in (tenants or {}).items()}
    return Policy(tenants=named, **changes)


def spec(gib=8, compute=None, **changes) -> ShareSpec:
    asked = ComputeAsk() if compute is None else ComputeAsk(limit=compute)
    return ShareSpec(memory=MemoryAsk(limit=int(gib * GIB)), compute=asked, **changes)


def wish(of: str, gib=8, compute=None, *, name="", minutes=0, **changes) -> Request:
    """Of a tenant, waiting since so many minutes."""
    return Request(
        spec=spec(gib, compute, **changes),
        uid=1000,
        tenant=Tenant(of),
        id=ShareId(name),
        asked=NOW - timedelta(minutes=minutes),
    )


def has(name: str, of: str, gib=8, compute=None, *, gpus=(0,), minutes=60, **changes) -> Share:
    """A share of a tenant on those GPUs, granted so many minutes ago."""
    asked = spec(gib, compute, gpus=len(gpus), **changes)
    grants = tuple(
        GpuGrant(
            gpu=GpuId(f"GPU-{index}"),
            limit=asked.memory.limit,
            request=asked.memory.limit,
            compute=asked.compute.limit,
            compute_request=Percent(compute or 0),
        )
        for index in gpus
    )
    at = NOW - timedelta(minutes=minutes)
    return Share(
        id=ShareId(name),
        name=name,
        spec=asked,
        tenant=Tenant(of),
        uid=1000,
        gid=1000,
        state=State.RUNNING,
        created=at,
        granted=at,
        decision=Decision(grants=grants, mechanisms=GUARDED),
    )


def aside(share: Share, cause: Cause = Cause.RECLAIM, minutes=5) -> Share:
    suspension = Suspension(cause=cause, since=NOW - timedelta(minutes=minutes))
    return replace(share, state=State.SUSPENDED, suspension=suspension)


def lab(rules: Policy, *gpus, **changes):
    """A machine without MPS, so that compute limits need no company of one user only."""
    return snapshot(
        *gpus, has=("exclusive", "timeslice", "guard"), policy=rules, now=NOW, **changes
    )
