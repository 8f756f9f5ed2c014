# SPDX-License-Identifier: Apache-2.0
"""Decides where shares land. Pure: no clock, no machine, no I/O."""

from .change import hindrance, regrant
from .comeback import returned, returning
from .decide import decide
from .fairshare import saturation
from .order import ordered, rank_reason
from .reclaim import plan, why_no_plan
from .state import Request, Snapshot, Waiting
from .steps import after
from .tenancy import admission, in_quota, overcommitted

__all__ = [
    "Request",
    "Snapshot",
    "Waiting",
    "admission",
    "after",
    "decide",
    "hindrance",
    "in_quota",
    "ordered",
    "overcommitted",
    "plan",
    "rank_reason",
    "regrant",
    "returned",
    "returning",
    "saturation",
    "why_no_plan",
]
