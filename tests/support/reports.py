# SPDX-License-Identifier: Apache-2.0
"""Reports of the probe, and what is concluded from them."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from gpushare.hardware.ports.probe import ProbeRun
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.share import (
    Decision,
    Enforcement,
    Finding,
    Level,
    Verification,
)
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, MIB, Bytes
from gpushare.model.verification import (
    Attempt,
    Escape,
    ProbedDevice,
    ProbedGuard,
    ProbeReport,
    View,
)
from gpushare.verification.arguments import probe_arguments
from gpushare.verification.outsider import Outsider
from gpushare.verification.verdict import verdict_of
from support.promises import stack
from support.shares import GPU, grant

AT = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT, CARD = 4 * GIB, 140 * GIB
ASKED = Bytes(LIMIT + 2 * MIB)
NO_OUTSIDER = Outsider()
OTHER = "GPU-99999999-0000-4000-8000-000000000002"
PROMISED = Enforcement(memory=Level.COOPERATIVE, devices=Level.COOPERATIVE)
ATTACHED = ProbedGuard(loaded=True, region="/run/r", attached=True, denied=2)
REFUSED = (
    Attempt(path="cuMemAlloc", asked=ASKED, held=Bytes(0), result=2),
    Attempt(path="cuMemCreate", asked=ASKED, held=Bytes(0), result=2),
)


def device(uuid: str = GPU, free: int = 3 * GIB, sms: int = 132, **more: object) -> ProbedDevice:
    facts = {"result": 0, "ordinal": 0, "name": "NVIDIA H200", "total": LIMIT, "limit": LIMIT}
    more = {"attempts": REFUSED, **more}
    return msgspec.convert(
        {**facts, "uuid": uuid, "free": free, "multiprocessors": sms, **more}, ProbedDevice
    )


def outside(name: str = "without the guard", *devices: ProbedDevice) -> Escape:
    seen = devices or (device(free=139 * GIB, attempts=()),)
    return Escape(name=name, view=View(devices=seen))


def report(*devices: ProbedDevice, escapes: tuple[Escape, ...] = (), **more: object) -> ProbeReport:
    guard = more.pop("guard", ATTACHED)
    assert isinstance(guard, ProbedGuard)
    pinned = str(more.pop("pinned", ""))
    assert not more
    return ProbeReport(
        devices=devices or (device(),),
        escapes=escapes or (outside(),),
        guard=guard,
        pinned=pinned,
        driver="580.159.04",
    )


def card(uuid: str = GPU, used: int = 0) -> Gpu:
    return Gpu(
        uuid=GpuId(uuid),
        index=0,
        name="NVIDIA H200",
        memory_total=Bytes(CARD),
        memory_used=Bytes(used),
        sm_count=132,
    )


def decided(
    *by: MechanismName, promised: Enforcement = PROMISED, limit: int = LIMIT, compute: int = 100
) -> Decision:
    stack = by or (MechanismName.TIMESLICE, MechanismName.GUARD)
    one = grant(limit=limit, compute=compute)
    return Decision(grants=(one,), mechanisms=stack, enforcement=promised)


def judged(
    seen: ProbeReport,
    decision: Decision | None = None,
    *gpus: Gpu,
    failure: str = "",
    idle: bool = False,
    contested: Mapping[GpuId, float] = {},
    outsider: Outsider = NO_OUTSIDER,
) -> Verification:
    machine = {gpu.uuid: gpu for gpu in gpus or (card(),)}
    run = ProbeRun(report=msgspec.json.encode(seen), failure=failure)
    decision = decision or decided()
    by = stack(decision)
    return verdict_of(
        decision, by, run, machine, AT, idle=idle, contested=contested, outsider=outsider
    )


def arguments(decision: Decision, *, fill: bool = False) -> tuple[str, ...]:
    return probe_arguments(decision, stack(decision), fill=fill)


def finding(found: Verification, dimension: str) -> Finding:
    return next(one for one in found.findings if one.dimension == dimension)
