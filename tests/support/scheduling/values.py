# SPDX-License-Identifier: Apache-2.0
"""Small machines and shares to decide about."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.gpu import Capability, Gpu, Machine
from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.promise import Claim
from gpushare.model.share import Decision, Level, Share, State
from gpushare.model.spec import ComputeAsk, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.scheduler import Request, Snapshot, decide
from support.promises import claiming

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ENFORCED, COOPERATIVE = Claim(level=Level.ENFORCED), Claim(level=Level.COOPERATIVE, but="perhaps")
PROMISES = (
    replace(claiming(Exclusive.promise, fault=ENFORCED), card=ENFORCED),
    claiming(Timeslice.promise, memory=Claim(but="no memory limit")),
    claiming(MpsMechanism.promise, compute=COOPERATIVE),
    claiming(DriverLimit.promise, memory=ENFORCED),
    claiming(Guard.promise, memory=COOPERATIVE, compute=COOPERATIVE),
)
USUAL = ("exclusive", "timeslice", "mps", "guard")


def gpu(index: int = 0, gib: int = 80, **changes) -> Gpu:
    return Gpu(
        uuid=GpuId(f"GPU-{index}"), index=index, name="Sim", memory_total=gib * GIB, **changes
    )


def snapshot(*gpus: Gpu, has=USUAL, **changes) -> Snapshot:
    capabilities = tuple(
        Capability(mechanism=name, available=name in has, reason="" if name in has else "not here")
        for name in MechanismName
    )
    return Snapshot(
        machine=Machine(gpus=gpus, capabilities=capabilities), promises=PROMISES, **changes
    )


def spec(gib: int | None = None, compute: int = 100, **changes) -> ShareSpec:
    memory = MemoryAsk() if gib is None else MemoryAsk(limit=gib * GIB)
    return ShareSpec(memory=memory, compute=ComputeAsk(limit=compute), **changes)


def ask(gib: int | None = None, compute: int = 100, uid: int = 1000, **changes) -> Request:
    return Request(spec=spec(gib, compute, **changes), uid=uid)


def holding(decision: Decision, request: Request, name: str = "other", ttl: int = 0) -> Share:
    return Share(
        id=ShareId(name),
        name=name,
        spec=request.spec,
        tenant=request.tenant or Tenant("lin"),
        uid=request.uid,
        gid=request.uid,
        state=State.RUNNING,
        created=NOW,
        decision=decision,
        expires=NOW + timedelta(seconds=ttl) if ttl else None,
        program=request.program,
    )


def taken(state: Snapshot, *requests: Request, ttl: int = 0) -> Snapshot:
    """The state after each request was decided and holds its place."""
    for request in requests:
        decision = decide(state, request)
        assert isinstance(decision, Decision)
        share = holding(decision, request, f"s{len(state.shares)}", ttl)
        state = replace(state, shares=(*state.shares, share))
    return state
