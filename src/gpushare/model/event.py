# SPDX-License-Identifier: Apache-2.0
"""Facts worth telling: state changes, refusals, faults."""

from datetime import datetime

from .ids import GpuId, ShareId
from .value import Value


class Event(Value):
    """`type` is dotted and stable: share.granted, share.failed, gpu.lost, mps.fault."""

    seq: int
    at: datetime
    type: str
    message: str
    share: ShareId | None = None
    gpu: GpuId | None = None
