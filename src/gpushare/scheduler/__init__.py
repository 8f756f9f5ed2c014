# SPDX-License-Identifier: Apache-2.0
"""Decides where shares land. Pure: no clock, no machine, no I/O."""

from gpushare.scheduler.order.fairshare import saturation
from gpushare.scheduler.order.order import ordered, rank_reason
from gpushare.scheduler.order.tenancy import admission, in_quota, overcommitted
from gpushare.scheduler.placing.actions import after
from gpushare.scheduler.placing.booking import book
from gpushare.scheduler.placing.change import hindrance, regrant, wants_more
from gpushare.scheduler.placing.decide import decide, place_behind, place_gang
from gpushare.scheduler.placing.instead import instead, without_base
from gpushare.scheduler.reclaim.reclaim import plan, why_no_plan
from gpushare.scheduler.reclaim.resume import returned, returning
from gpushare.scheduler.request.select import Selector, selectors
from gpushare.scheduler.request.state import Request, Snapshot, Waiting

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
    "instead",
    "ordered",
    "overcommitted",
    "place_behind",
    "place_gang",
    "plan",
    "rank_reason",
    "regrant",
    "returned",
    "returning",
    "saturation",
    "selectors",
    "wants_more",
    "why_no_plan",
    "without_base",
]
