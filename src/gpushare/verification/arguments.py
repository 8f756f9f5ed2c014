# SPDX-License-Identifier: Apache-2.0
"""Arguments of gpushare-probe: what it tries, given what the share is promised."""

from collections.abc import Sequence

from gpushare.model.promise import Promise
from gpushare.model.share import Decision, Level
from gpushare.model.units import FULL

_FILL_SECONDS = 50  # below what `ProbeRunner` waits


def probe_arguments(
    decision: Decision, stack: Sequence[Promise], *, fill: bool = False
) -> tuple[str, ...]:
    """`fill` measures exactly but takes all that the limit allows: for shares not in use yet.

    Escapes allocate too only where a refusal is promised, or where the share is idle.
    """
    limits = (("--limit", f"{grant.gpu}={grant.limit}") for grant in decision.grants)
    # Filling and measuring by every way take longer than looking.
    mode = ("--fill", "--timeout", f"{_FILL_SECONDS}") if fill else ("--attempt",)
    # Where a limit is only cooperative, an escape would take memory from neighbours that use it.
    outside = fill or decision.enforcement.memory is Level.ENFORCED
    extra = [
        *(["--outside"] if outside else []),
        *(["--compute"] if timed(decision, stack) else []),
    ]
    return (*mode, *(word for pair in limits for word in pair), *extra)


def timed(decision: Decision, stack: Sequence[Promise]) -> bool:
    """Whether a compute limit is held in GPU time."""
    limited = any(grant.compute < FULL for grant in decision.grants)
    return limited and any(promise.in_gpu_time for promise in stack)
