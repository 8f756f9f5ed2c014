# SPDX-License-Identifier: Apache-2.0
"""Decides where shares land. Pure: no clock, no machine, no I/O."""

from .booking import book
from .change import hindrance, regrant
from .comeback import returned, returning
from .decide import decide, place_gang
from .fairshare import saturation
from .order import ordered, rank_reason
from .reclaim import plan, why_no_plan
from .select import Selector, selectors
from .state import Request, Snapshot, Waiting
from .steps import after
from .tenancy import admission, in_quota, overcommitted

__all__ = [
    "Request",
    "Selector",
    "Snapshot",
    "Waiting",
    "admission",
    "after",
    "book",
    "decide",
    "hindrance",
    "in_quota",
    "ordered",
    "overcommitted",
    "place_gang",
    "plan",
    "rank_reason",
    "regrant",
    "returned",
    "returning",
    "saturation",
    "selectors",
    "why_no_plan",
]
