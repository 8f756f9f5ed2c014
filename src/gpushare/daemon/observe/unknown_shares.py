# SPDX-License-Identifier: Apache-2.0
"""Shares with living programs that the state does not know, because it was lost or replaced.

Their limits hold and their programs may fill them at any time, so what they may use counts as in
use: nothing of it is granted a second time. They are found at start, when no share is made yet, and
forgotten when their programs have ended.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.base.threads import in_own_thread
from gpushare.model.gpu import Gpu, GpuProcess
from gpushare.model.ids import ShareId
from gpushare.store import Store

if TYPE_CHECKING:
    from gpushare.mechanisms.guard.living_shares import LivingShare

_SHOWN = 5


class UnknownShares:
    def __init__(self, store: Store, ports: HostPorts) -> None:
        self._store, self._ports = store, ports
        self._living: tuple[LivingShare, ...] = ()

    async def look(self) -> None:
        """Once at start; reads no file for longer than a read takes."""
        living = await in_own_thread(self._ports.living_shares)
        known = {share.id for share in self._store.shares.living() if share.state.holds}
        known |= {intent.share for intent in self._store.intents.pending()}
        self._living = tuple(it for it in living if it.share not in known)

    def refresh(self) -> None:
        """Forget those whose programs have ended; nothing is read if there are none."""
        if self._living:
            known = {it.share for it in self._living}
            self._living = tuple(it for it in self._ports.living_shares() if it.share in known)

    @property
    def shares(self) -> tuple[ShareId, ...]:
        """Their ids."""
        return tuple(share.share for share in self._living)

    @property
    def pids(self) -> frozenset[int]:
        """Their programs, as far as they can be seen from here."""
        return frozenset(pid for share in self._living for pid in share.pids)

    def in_use(self, gpu: Gpu, programs: Sequence[GpuProcess]) -> int:
        """Bytes of the GPU that they use or may use. The tenant can write any limit."""
        total = 0
        for share in self._living:
            limit = min(share.limits.get(gpu.uuid, 0), gpu.memory_total)
            used = sum(it.memory or 0 for it in programs if it.pid in share.pids)
            total += max(limit, used)
        return total

    def notices(self) -> Iterator[str]:
        """One sentence, while there are any."""
        if self._living:
            shown = ", ".join(it.share for it in self._living[:_SHOWN])
            more = ", …" * (len(self._living) > _SHOWN)
            yield (
                f"programs run in {len(self._living)} shares that the state file does not know: "
                f"{shown}{more}; their limits count as in use"
            )
