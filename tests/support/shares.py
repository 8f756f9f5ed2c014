# SPDX-License-Identifier: Apache-2.0
"""Shares as the daemon would have decided them."""

import os
from datetime import UTC, datetime

from gpushare.model.ids import GpuId, ShareId, Tenant
from gpushare.model.share import Decision, Share, State
from gpushare.model.spec import GpuGrant, MechanismName, Priority, ShareSpec
from gpushare.model.units import FULL, GIB, Bytes, Percent

GPU = GpuId("GPU-51600000-0000-4000-8000-000000000001")


def grant(gpu: str = GPU, limit: int = 4 * GIB, compute: int = FULL) -> GpuGrant:
    return GpuGrant(
        gpu=GpuId(gpu),
        limit=Bytes(limit),
        request=Bytes(limit),
        compute=Percent(compute),
        compute_request=Percent(compute),
    )


def share(
    *grants: GpuGrant,
    by: tuple[MechanismName, ...] = (MechanismName.TIMESLICE,),
    id: str = "0123456789ab",  # noqa: A002 (the field's own name)
    priority: Priority = Priority.NORMAL,
) -> Share:
    """A granted share of the current user; one grant of 4 GiB when none is given."""
    return Share(
        id=ShareId(id),
        name="test",
        spec=ShareSpec(priority=priority),
        tenant=Tenant("test"),
        uid=os.getuid(),
        gid=os.getgid(),
        state=State.GRANTED,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        decision=Decision(grants=grants or (grant(),), mechanisms=by),
    )


def stored(number: int, state: State = State.QUEUED) -> Share:
    """A share for records of the store; all differ by their number."""
    return Share(
        id=ShareId(f"{number:012x}"),
        name=f"train-{number}",
        spec=ShareSpec(),
        tenant=Tenant("lab"),
        uid=1000,
        gid=1000,
        state=state,
        created=datetime(2026, 11, 23, tzinfo=UTC),
    )
