# SPDX-License-Identifier: Apache-2.0
"""Limits that do not hold, as text for people."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from gpushare.model.escape import EscapePeriod
from gpushare.model.view import GpuView, GuardView, ShareView

from .ages import age
from .times import moment


def active(share: ShareView) -> bool:
    """Whether a limit of the share does not hold now."""
    return share.escape is not None and share.escape.active and share.state.holds


def notes(share: ShareView, now: datetime) -> Iterator[str]:
    """For `ps`: what does not hold, why, and for how long."""
    if share.escape is not None and active(share):
        lasts = age(now - share.escape.since)
        yield f"! {share.ref or share.name}: {share.escape.text}, for {lasts}"


def gpu_notes(gpu: GpuView) -> Iterator[str]:
    """For `gpus`: which processes are past the limits of their shares."""
    for text in dict.fromkeys(cause.text for cause in gpu.escapes):
        yield f"! GPU {gpu.index}: {text}"


def details(share: ShareView) -> list[tuple[str, str]]:
    """For `show`: what does not hold or did not, and what the guard saw and did not limit."""
    rows = []
    if share.escape is not None:
        now = active(share)
        rows.append(("escaped" if now else "last escape", _period(share.escape, now=now)))
    return rows + [("guard", line) for line in _counters(share.guard)]


def _period(escape: EscapePeriod, *, now: bool) -> str:
    since = moment(escape.since)
    if now or escape.until is None:
        return f"{escape.text}, since {since}"
    return f"{escape.text}, from {since} for {age(max(escape.until - escape.since, timedelta()))}"


def _counters(guard: GuardView | None) -> Iterator[str]:
    if guard is None:
        return
    if guard.former:
        yield "of an earlier gpushare: its programs run on, and new ones start once they have ended"
    if guard.unlisted:
        yield f"{guard.unlisted} allocations and contexts on other GPUs were not limited"
    if guard.unhooked:
        yield f"{guard.unhooked} CUDA functions were used past the guard or in unknown versions"
