# SPDX-License-Identifier: Apache-2.0
"""Implements `model.audit.AuditService`: shows records to operators and to their subjects."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from gpushare.model.access.role import Role
from gpushare.model.audit import HEAD, AuditQuery, AuditReport, Record
from gpushare.model.errors import NotFoundError, RoleError
from gpushare.model.ids import ShareId
from gpushare.model.share import Caller
from gpushare.store.audit import Log, file_lines, search, verify


class DaemonAudit:
    """`log` None: no log is kept. `shares_of`: ids of the shares of a uid.

    `search_of`: entered while a user's search runs, which reads the whole log; raises
    RateLimitedError.
    """

    def __init__(
        self,
        log: Log | None,
        shares_of: Callable[[int], Collection[ShareId]] = lambda _: (),
        search_of: Callable[[int], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self._log, self._shares_of, self._search_of = log, shares_of, search_of

    async def records(self, query: AuditQuery, caller: Caller) -> Sequence[Record]:
        """Operators see all, others what they did and what was done with their shares.

        Raises NotFoundError if no log is kept, RateLimitedError.
        """
        log = self._kept()
        allowed = self._all if caller.role.covers(Role.OPERATOR) else self._own(caller)
        with self._search_of(caller.uid):
            return await asyncio.to_thread(search, log.files, query, allowed)

    async def verify(self, caller: Caller, *, partial: bool = False) -> AuditReport:
        """Read all files and check the chain.

        `partial`: it may begin anywhere. Raises RoleError, NotFoundError.
        """
        log = self._kept(caller)
        log.settle()
        keys, end = [log.signer.key] if log.signer.key else [], log.end
        notes = tuple(f"{path} is compressed and was not read" for path in log.files.packed())
        lines = file_lines(log.files.all())
        return await asyncio.to_thread(
            verify, lines, keys=keys, whole=not partial, end=end, growing=True, notes=notes
        )

    async def heads(self, caller: Caller) -> Sequence[Record]:
        """The signed records; raises RoleError, NotFoundError."""
        log = self._kept(caller)
        return await asyncio.to_thread(search, log.files, AuditQuery(action=HEAD))

    async def sign(self, caller: Caller) -> Record:
        """Write a head now; raises RoleError, NotFoundError, StateError."""
        return self._kept(caller).head("asked")

    def _kept(self, operator: Caller | None = None) -> Log:
        """Raises RoleError if the caller must be an operator and is not; NotFoundError."""
        if operator and not operator.role.covers(Role.OPERATOR):
            raise RoleError(
                "the audit log is for operators",
                "it shows what all users do",
                "see your own records: gpushare audit ls",
            )
        if self._log is None:
            raise NotFoundError("no audit log is kept here")
        return self._log

    def _own(self, caller: Caller) -> Callable[[Record], bool]:
        """Records of the caller's actions, and of what was done with their shares."""
        shares = frozenset(map(str, self._shares_of(caller.uid)))
        return lambda record: record.actor.uid == caller.uid or record.object in shares

    def _all(self, _: Record) -> bool:
        return True
