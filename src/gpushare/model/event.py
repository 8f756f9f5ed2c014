# SPDX-License-Identifier: Apache-2.0
"""An event: one thing that happened. Its types are in `event_types`."""

from datetime import datetime

from .ids import GpuId, ShareId
from .value import Value


class Event(Value):
    """`type` is one of `event_types.EVENT_TYPES`, or an older name in older events."""

    seq: int
    at: datetime
    type: str
    message: str
    share: ShareId | None = None
    gpu: GpuId | None = None
