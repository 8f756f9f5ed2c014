# SPDX-License-Identifier: Apache-2.0
"""Shares of one user reach each other's GPUs for peer access, as NCCL needs (ADR 0035).

The driver imports memory of another GPU only if its device node could be opened when CUDA started
in the process, and can be at the import. So the control group of a share admits the GPUs of the
user's other shares too, from the grant of the second share to the release of the first. GPUs of
other users' shares and GPUs without a share stay denied.
"""

import asyncio
from collections.abc import Collection, Iterable

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.threads import in_own_thread
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.errors import GpushareError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import Decision, Share
from gpushare.store import Act, Store

_log = structlog.get_logger()


def by_user(placed: Iterable[Share]) -> dict[int, frozenset[GpuId]]:
    """The GPUs of each user's shares."""
    found: dict[int, set[GpuId]] = {}
    for share in placed:
        found.setdefault(share.uid, set()).update(share.decision.gpus if share.decision else ())
    return {uid: frozenset(gpus) for uid, gpus in found.items()}


class Peers:
    """The last call of `admit` writes what holds then: calls wait for each other."""

    def __init__(self, store: Store, mechanisms: Mechanisms) -> None:
        self._store, self._mechanisms = store, mechanisms
        self._lock = asyncio.Lock()
        self._admitted: object = None  # the records that agree with the rules of every user
        self._failures = 0

    async def admit(
        self, uids: Iterable[int] | None = None, granting: Collection[ShareId] = ()
    ) -> None:
        """Before a grant to these users is confirmed, and after a move or a release.

        None: of every user, as after a start of the daemon. `granting`: what the grant has
        prepared. Other grants in the journal count, and write their own rules when they are as far.
        """
        chosen = None if uids is None else set(uids)
        version = self._store.generation
        if chosen is None and version == self._admitted:
            return
        async with self._lock:
            failures = self._failures
            grants = self._grants()
            placed = [
                replace(share, decision=grants[share.id]) if share.id in grants else share
                for share in self._store.shares.living()
            ]
            gpus = by_user(placed)
            for share in placed:
                ready = share.id in granting or (share.decision and share.id not in grants)
                if ready and (chosen is None or share.uid in chosen):
                    own = share.decision.gpus if share.decision else ()
                    await self._write(share, gpus[share.uid].difference(own))
            if chosen is None and failures == self._failures:
                self._admitted = version

    def _grants(self) -> dict[ShareId, Decision]:
        pending = self._store.intents.pending()
        return {it.share: it.decision for it in pending if it.act is Act.GRANT and it.decision}

    async def _write(self, share: Share, gpus: frozenset[GpuId]) -> None:
        if self._mechanisms.admits(share, gpus):
            return
        try:
            await in_own_thread(self._mechanisms.admit, share, gpus)
        except GpushareError as error:
            # Its programs lack peer access; that must not fail the act on another share.
            _log.warning("peers.not_admitted", share=share.id, error=str(error))
            self._failures += 1
