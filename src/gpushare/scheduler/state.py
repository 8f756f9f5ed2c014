# SPDX-License-Identifier: Apache-2.0
"""What a decision is made from, and its answers."""

from datetime import datetime

from gpushare.model.gpu import Machine
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Share
from gpushare.model.spec import ShareSpec
from gpushare.model.units import Bytes
from gpushare.model.value import Value


class Request(Value):
    """What is asked, and by which user: one MPS server serves one user only."""

    spec: ShareSpec
    uid: int


class Snapshot(Value):
    """Everything that `decide` may know.

    `shares` hold capacity; `queue` asked before the request at hand; `promises` is what
    the mechanisms of this machine claim; `foreign` is memory held by programs outside any share.
    """

    machine: Machine
    shares: tuple[Share, ...] = ()
    queue: tuple[Request, ...] = ()
    promises: tuple[Promise, ...] = ()
    foreign: dict[GpuId, Bytes] = {}


class Waiting(Value):
    """Not now. `position` counts from 1; `eta` only where the shares in the way have a ttl."""

    position: int
    waits_for: str
    eta: datetime | None = None
