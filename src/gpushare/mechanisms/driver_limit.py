# SPDX-License-Identifier: Apache-2.0
"""The driver counts and limits all device memory of the share's control group (driver 615)."""

import contextlib
from collections.abc import Sequence

from gpushare.hardware.ports import Cgroups, MemoryLimit, MemoryLimits
from gpushare.model.edits import Edits
from gpushare.model.errors import GpuLostError, NoSuchGpuError, UnsupportedError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Claim, Need, Promise, Use
from gpushare.model.share import Level, ProofCheck, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import Bytes, format_bytes

from .mechanism import Observation, PassiveMechanism

_DMEM_VERSION = 2  # of control groups: the driver's limits need the unified hierarchy


class DriverLimit(PassiveMechanism):
    """The hard limit is the grant's limit, the soft one its guaranteed request."""

    promise = Promise(
        mechanism=MechanismName.DRIVER_LIMIT,
        memory=Claim(
            level=Level.ENFORCED,
            but="Managed memory is not counted against the limit: it is system memory.",
        ),
        layer=True,
        uses=(Use(need=Need.MEMORY, why="the driver limits the memory of control groups here"),),
        adjusts=("memory",),
        needs_group=True,
    )

    def __init__(self, limits: MemoryLimits, cgroups: Cgroups) -> None:
        self._limits, self._cgroups = limits, cgroups

    def unavailable(self, gpus: Sequence[Gpu]) -> str:  # noqa: ARG002
        groups = self._cgroups.reason()
        if not groups and self._cgroups.version != _DMEM_VERSION:
            groups = "this machine has no cgroup v2"
        limits = self._limits.limits_reason()
        return limits or (f"limits hang on control groups: {groups}" if groups else "")

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        """Raises UnsupportedError where driver or control groups cannot hold limits."""
        if reason := self._limits.limits_reason() or self._cgroups.reason():
            hint = "gpushare gpus --capabilities"
            raise UnsupportedError("the driver cannot limit memory here", reason, hint)
        cgroup = self._cgroups.create(share.id)
        self._apply(share, grants)
        return Edits(cgroup=cgroup)

    def adjust(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        self._apply(share, grants)

    def suspend(self, share: Share, keep: Bytes) -> None:  # noqa: ARG002
        """A soft limit would keep its memory from shares that have its room now."""
        self._apply(share, _grants(share), away=True)

    def resume(self, share: Share) -> None:
        self._apply(share, _grants(share))

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        self._apply(share, grants)
        self._lift(share, left)

    def release(self, share: Share) -> None:
        """Removing a group that has a soft limit would leave its ancestors' memory reserved."""
        if share.decision is None or self._limits.limits_reason() or self._cgroups.reason():
            return
        self._lift(share, share.decision.gpus)

    def observe(self, share: Share) -> Observation:
        # A group without processes uses nothing, and asking for its limits would make the group
        # again.
        if share.decision is None or not self._cgroups.pids(share.id):
            return Observation()
        cgroup = self._cgroups.create(share.id)
        limits = {gpu: self._limits.memory_limit(gpu, cgroup) for gpu in share.decision.gpus}
        return Observation(
            used={gpu: limit.used for gpu, limit in limits.items() if limit.used is not None}
        )

    def prove(self, share: Share, grants: Sequence[GpuGrant]) -> Sequence[ProofCheck]:
        # Asking for the limits of a group that is gone would make it again.
        if not self._cgroups.pids(share.id):
            return ()
        cgroup = self._cgroups.create(share.id)
        held = {grant: self._limits.memory_limit(grant.gpu, cgroup).hard for grant in grants}
        wrong = [_differs(grant, hard) for grant, hard in held.items() if hard != grant.limit]
        return (ProofCheck(name="driver limit", ok=not wrong, evidence="; ".join(wrong)),)

    def _lift(self, share: Share, gpus: Sequence[GpuId]) -> None:
        cgroup = self._cgroups.create(share.id)
        for gpu in gpus:
            # A GPU that is gone has no limits to lift, and must not keep the share from ending.
            with contextlib.suppress(GpuLostError, NoSuchGpuError):
                self._limits.set_memory_limit(gpu, cgroup, MemoryLimit())

    def _apply(self, share: Share, grants: Sequence[GpuGrant], *, away: bool = False) -> None:
        """Shares that take turns have more memory together than there is: no soft limit."""
        cgroup = self._cgroups.create(share.id)
        for grant in grants:
            soft = None if away or share.spec.turns else grant.request
            limit = MemoryLimit(soft=soft, hard=grant.limit)
            self._limits.set_memory_limit(grant.gpu, cgroup, limit)


def _differs(grant: GpuGrant, hard: Bytes | None) -> str:
    limit = "no limit" if hard is None else format_bytes(hard)
    return f"the driver has {limit} on {grant.gpu}, granted are {format_bytes(grant.limit)}"


def _grants(share: Share) -> Sequence[GpuGrant]:
    return share.decision.grants if share.decision else ()
