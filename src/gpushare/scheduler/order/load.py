# SPDX-License-Identifier: Apache-2.0
"""What a share counts against its tenant: the room that it keeps from all others."""

from collections.abc import Hashable, Iterable

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.policy.tenant import Amount
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant, MechanismName, ShareSpec
from gpushare.model.units import FULL, Bytes, Percent, format_bytes
from gpushare.model.value import Value
from gpushare.scheduler.capacity.room import grant_on
from gpushare.scheduler.placing.decide import eligible
from gpushare.scheduler.request.mechanisms import choices
from gpushare.scheduler.request.state import Request, Snapshot


class Load(Value):
    """Memory in bytes over all GPUs, compute in percent of one GPU: 250 is two GPUs and a half."""

    memory: Bytes = Bytes(0)
    compute: Percent = Percent(0)

    def __add__(self, other: "Load") -> "Load":
        return _load(self.memory + other.memory, self.compute + other.compute)

    def __sub__(self, other: "Load") -> "Load":
        """What is left; nothing is the least."""
        return _load(max(0, self.memory - other.memory), max(0, self.compute - other.compute))

    def least(self, other: "Load") -> "Load":
        """The smaller of both in each dimension."""
        return _load(min(self.memory, other.memory), min(self.compute, other.compute))

    def within(self, other: "Load") -> bool:
        """Whether neither dimension exceeds the other's."""
        return self.memory <= other.memory and self.compute <= other.compute

    def __str__(self) -> str:
        return f"{format_bytes(self.memory)} of memory and {self.compute} % of compute"


NOTHING = Load()


def _load(memory: int, compute: int) -> Load:
    return Load(memory=Bytes(memory), compute=Percent(compute))


def total(loads: Iterable[Load]) -> Load:
    """The sum; `NOTHING` for none."""
    return sum(loads, start=NOTHING)


def of(amount: Amount) -> Load:
    """An amount whose absent figures are nothing."""
    return _load(amount.memory or 0, amount.compute or 0)


def capacity(machine: Machine) -> Load:
    """What all shares together can have: of GPUs that are there and can be used."""
    return total(_whole(gpu) for gpu in machine.gpus if _open(gpu))


def held(state: Snapshot) -> dict[ShareId, Load]:
    """What each share holds, by its id; nothing while it is suspended and others may have its room.

    A share that has GPUs alone holds all of them. Of several that take turns each counts in full:
    what a tenant is charged must not depend on other shares that take turns.
    """
    gpus = {gpu.uuid: gpu for gpu in state.machine.gpus}
    alone = _alone(state)
    return {
        share.id: NOTHING if share.aside else _granted(share, gpus, alone) for share in state.shares
    }


def claimed(state: Snapshot) -> dict[ShareId, Load]:
    """As `held`, with the compute that shares had before it was taken back from them.

    A throttled share is still a borrower; else it could use up what younger shares of
    its tenant are guaranteed.
    """
    gpus = {gpu.uuid: gpu for gpu in state.machine.gpus}
    return held(replace(state, shares=tuple(_unthrottled(share, gpus) for share in state.shares)))


def _unthrottled(share: Share, gpus: dict[GpuId, Gpu]) -> Share:
    if share.decision is None:
        return share
    grants = tuple(
        replace(grant, compute_request=max(grant.compute_request, asked.compute_request))
        for grant in share.decision.grants
        if grant.gpu in gpus and (asked := grant_on(gpus[grant.gpu], share.spec))
    )
    return replace(share, decision=replace(share.decision, grants=grants))


def granted(state: Snapshot, share: Share) -> Load:
    """What its decision counts, whether it is there or suspended."""
    return _granted(share, {gpu.uuid: gpu for gpu in state.machine.gpus}, _alone(state))


def needs(state: Snapshot, requests: Iterable[Request]) -> tuple[Load, ...]:
    """As `need`; requests that ask for the same are looked at once."""
    by_spec: dict[Hashable, Load] = {}
    loads = []
    for request in requests:
        # Requests of a long queue are mostly alike: with this a thousand are ordered in a tenth of
        # a second.
        asked = _asked(request.spec)
        if asked not in by_spec:
            by_spec[asked] = need(state, request)
        loads.append(by_spec[asked])
    return tuple(loads)


def _asked(spec: ShareSpec) -> Hashable:
    how = spec.isolation, spec.mechanism, spec.priority, spec.turns
    return spec.memory, spec.compute, spec.gpus, spec.gpu, spec.select, how


def need(state: Snapshot, request: Request) -> Load:
    """The most it could count: on the largest GPUs it can use. Nothing when it can never be placed.

    Limits hold whichever GPU it lands on, so the largest is what is looked at.
    """
    try:
        usable = eligible(state, request)
        alone = choices(state, request.spec)[0].base.alone
    # A request that can never be placed counts nothing; `decide` refuses it with the reason.
    except GpushareError:
        return NOTHING
    gpus = [gpu for gpu in state.machine.gpus if gpu.uuid in usable]
    loads = [_on(gpu, grant_on(gpu, request.spec), alone=alone) for gpu in gpus]
    return total(sorted(loads, key=lambda load: load.memory)[-request.spec.gpus :])


def _granted(share: Share, gpus: dict[GpuId, Gpu], alone: set[MechanismName]) -> Load:
    if share.decision is None:
        return NOTHING
    missing_neighbour = share.decision.mechanisms[0] in alone
    grants = [(gpus[grant.gpu], grant) for grant in share.decision.grants if grant.gpu in gpus]
    return total(_on(gpu, grant, alone=missing_neighbour) for gpu, grant in grants)


def _on(gpu: Gpu, grant: GpuGrant, *, alone: bool) -> Load:
    return _whole(gpu) if alone else _load(grant.request, grant.compute_request)


def _alone(state: Snapshot) -> set[MechanismName]:
    return {promise.mechanism for promise in state.promises if promise.alone}


def _whole(gpu: Gpu) -> Load:
    return _load(gpu.usable, FULL)


def _open(gpu: Gpu) -> bool:
    return not gpu.closed
