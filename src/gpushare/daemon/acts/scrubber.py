# SPDX-License-Identifier: Apache-2.0
"""Clears the GPU memory of a share that has ended, and proves it, before the place is free again.

Runs in the thread that releases the share, so nothing else is granted on these GPUs meanwhile. It
allocates as much as the share could have had besides one context, fills it with zeros and reads it
back. A scrub that fails does not keep the share from ending; the event says so.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from gpushare.config.settings import Scrub
from gpushare.daemon.base.bus import Bus
from gpushare.model.ids import GpuId
from gpushare.model.operations.scrub import ScrubReport
from gpushare.model.share import Share
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes, format_bytes


class Scrubbing(Protocol):
    """Fills free memory of a GPU with zeros and reads it back."""

    def scrub(self, gpu: GpuId, size: Bytes) -> ScrubReport: ...


class Scrubber:
    """`mode` and `needed` (why the driver does not clear memory itself) are asked each time.

    `contexts`: what one CUDA context costs.
    """

    def __init__(
        self,
        bus: Bus,
        scrubbing: Scrubbing,
        *,
        mode: Callable[[], Scrub],
        needed: Callable[[], str],
        contexts: Callable[[], Mapping[GpuId, Bytes]],
    ) -> None:
        self._bus, self._scrubbing = bus, scrubbing
        self._mode, self._needed, self._contexts = mode, needed, contexts
        self._loop = asyncio.get_running_loop()

    def released(self, share: Share) -> None:
        """In the thread that has released the share."""
        if share.decision is None or share.started is None or not self._wanted():
            return
        for grant in share.decision.grants:
            size = Bytes(grant.limit - self._contexts().get(grant.gpu, Bytes(0)))
            if size > 0:
                self._scrub(share, grant, size)

    def _wanted(self) -> bool:
        mode = self._mode()
        return mode is Scrub.ALWAYS or (mode is Scrub.AUTO and bool(self._needed()))

    def _scrub(self, share: Share, grant: GpuGrant, size: Bytes) -> None:
        report = self._scrubbing.scrub(grant.gpu, size)
        kind, message = "share.scrubbed", _proved(report)
        if why := report.short_of(size):
            kind, message = "share.scrub_failed", f"its memory may not be clear: {why}"
        # The store belongs to the thread of the event loop.
        self._loop.call_soon_threadsafe(
            lambda: self._bus.publish(kind, message, share=share.id, gpu=grant.gpu)
        )


def _proved(report: ScrubReport) -> str:
    dirty = format_bytes(report.dirty) if report.dirty else "none"
    return (
        f"{format_bytes(report.proved)} of GPU memory were filled with zeros and read back; "
        f"{dirty} of it held old content"
    )
