# SPDX-License-Identifier: Apache-2.0
"""What a decision changes in the record of a share, and the words for it in events."""

from datetime import datetime, timedelta

from gpushare.model.ids import GpuId
from gpushare.model.share import Decision, Share
from gpushare.model.units import Bytes, format_bytes


def expiry(share: Share, now: datetime) -> datetime | None:
    """A reservation ends at its time, even if it began late."""
    if share.spec.ttl is None:
        return None
    return (share.spec.at or now) + timedelta(seconds=share.spec.ttl)


def kept_memory(share: Share, decision: Decision) -> dict[GpuId, Bytes]:
    """What its programs may have from before a limit was lowered: lowering frees nothing."""
    before = {grant.gpu: grant.limit for grant in share.decision.grants} if share.decision else {}
    most = {gpu: max(limit, share.kept.get(gpu, limit)) for gpu, limit in before.items()}
    return {g.gpu: most[g.gpu] for g in decision.grants if most.get(g.gpu, g.limit) > g.limit}


def changed_to(decision: Decision) -> str:
    parts = (f"{format_bytes(g.limit)} and {g.compute} % of {g.gpu}" for g in decision.grants)
    return ", ".join(parts)


def granted_how(decision: Decision) -> str:
    return f"{'+'.join(decision.mechanisms)} on {', '.join(decision.gpus)}"
