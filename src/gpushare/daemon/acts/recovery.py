# SPDX-License-Identifier: Apache-2.0
"""Settles acts that a crash or an error cut short, and says when one cannot be settled.

`run` reads the journal in each pass and begins to undo or finish what is in it. An attempt that
fails, with whatever error, is repeated after a pause that doubles. After `_ATTEMPTS` of them the
share becomes *damaged*: its record says what could not be done and why, so that people see it, and
what it holds stays taken. From then on there is an attempt every `_RARELY` seconds only, and one at
each start of a daemon: what is wrong on the machine may be repaired, or a newer version may be able
to do it. The share then is what it was before.

`abandon` ends a damaged share: everything of it is released as far as that is possible, and what is
in the journal for it is given up. It is refused only while processes of the share live, because
they may hold memory of the GPU.

Invariants:
- A damaged share has an intent in the journal, so the scheduler keeps room for whatever the act may
  have left, and no other act on the share begins.
- An intent of a share that has ended, or that the state no longer knows, is given up in the end:
  nothing but processes holds a GPU, and leftovers of files are found on request.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.threads import in_own_thread
from gpushare.hardware.ports import Clock
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.errors import GpushareError, NoSuchShareError, unexpected
from gpushare.model.ids import ShareId
from gpushare.model.share import Damage, Decision, Share, State, Tier
from gpushare.store import Act, Intent, Store

from .in_progress import ActsInProgress

Settle = Callable[[Intent], Awaitable[None]]
End = Callable[[ShareId, State, str], Share]
_ATTEMPTS = 5  # before a share is damaged: a quarter of a minute with the pauses between them
_PAUSE = 1.0  # seconds after the first attempt
_RARELY = 600.0  # seconds between attempts for a damaged share
_log = structlog.get_logger()


@dataclass
class _Failed:
    """Attempts for a share that failed one after another; the next one is due at `again`."""

    count: int
    again: float


class Recovery:
    """`settle` undoes or finishes one act, and raises whatever keeps it from that.

    `end` records the end of a share.
    """

    def __init__(
        self,
        store: Store,
        mechanisms: Mechanisms,
        bus: Bus,
        *,
        clock: Clock,
        acts: ActsInProgress,
        settle: Settle,
        end: End,
    ) -> None:
        self._store, self._mechanisms, self._bus = store, mechanisms, bus
        self._clock, self._acts, self._settle, self._ended = clock, acts, settle, end
        self._failed: dict[ShareId, _Failed] = {}

    def run(self) -> None:
        """Begin an attempt for each act whose time has come and that is not in progress."""
        pending = self._store.intents.pending()
        self._keep({intent.share for intent in pending})
        for intent in pending:
            if intent.share not in self._acts.shares() and self._due(intent.share):
                self.begin(intent)

    def times(self) -> list[float]:
        """When the next attempts are due, by the clock's `elapsed`."""
        return [failed.again for failed in self._failed.values()]

    def begin(self, intent: Intent) -> None:
        """An attempt now, as an act in progress."""
        waits = intent.tier is Tier.CHECKPOINT
        work = self.attempt(intent)
        self._acts.begin([intent.share], "recovered", work, waits=waits, frees=False)

    async def attempt(self, intent: Intent) -> None:
        """Settle it; an error is counted, and the act is tried again later."""
        try:
            await self._settle(intent)
        except GpushareError as error:
            _log.warning("recovery.failed", share=intent.share, act=intent.act, error=str(error))
            self._count(intent, error)
        except Exception as error:  # noqa: BLE001 (settled by a later attempt, or by `abandon`)
            # One share that cannot be settled now must not keep the others from being settled,
            # whatever the reason is.
            _log.exception("recovery.failed", share=intent.share, act=intent.act)
            self._count(intent, unexpected(f"the act {intent.act} was not settled", error))
        else:
            self._failed.pop(intent.share, None)
            self._heal(intent)

    async def abandon(self, share: Share, reason: str) -> Share:
        """Release what can be released and end the share as failed; the share has no act.

        Raises CgroupError while processes are in its control group.
        """
        pending = [it for it in self._store.intents.pending() if it.share == share.id]
        left = [
            because
            for decision in _decisions(share, pending)
            for because in await self._release(share, decision)
        ]
        self._failed.pop(share.id, None)
        release = next((it for it in pending if it.act is Act.RELEASE), None)
        if release and not left:
            return self._end(share.id, pending, release.to, release.reason)
        reason = "; left behind: ".join((reason, *left[:1]))
        return self._end(share.id, pending, State.FAILED, reason)

    async def _release(self, share: Share, decision: Decision) -> tuple[str, ...]:
        placed = replace(share, decision=decision)
        async with self._acts.gpus(decision.gpus):
            return await in_own_thread(self._mechanisms.abandon, placed)

    def _end(self, share: ShareId, pending: Iterable[Intent], to: State, reason: str) -> Share:
        with self._store.transaction():
            for intent in pending:
                self._store.intents.confirm(intent)
            return self._ended(share, to, reason)

    def _due(self, share: ShareId) -> bool:
        failed = self._failed.get(share)
        return failed is None or failed.again <= self._clock.elapsed()

    def _keep(self, shares: set[ShareId]) -> None:
        self._failed = {share: it for share, it in self._failed.items() if share in shares}

    def _count(self, intent: Intent, error: GpushareError) -> None:
        before = self._failed.get(intent.share)
        count = before.count + 1 if before else 1
        pause = _RARELY if count >= _ATTEMPTS else _PAUSE * 2 ** (count - 1)
        self._failed[intent.share] = _Failed(count, self._clock.elapsed() + pause)
        if count >= _ATTEMPTS:
            self._give_up(intent, error)

    def _give_up(self, intent: Intent, error: GpushareError) -> None:
        try:
            share = self._store.shares.get(intent.share)
        except NoSuchShareError:
            self._store.intents.confirm(intent)
            return
        if share.state.ended:
            self._store.intents.confirm(intent)
        elif share.state is not State.DAMAGED:
            self._damage(share, intent, error)

    def _damage(self, share: Share, intent: Intent, error: GpushareError) -> None:
        reason = f"{intent.act} could be neither finished nor undone: {error.because or error.what}"
        damage = Damage(act=intent.act, since=self._clock.now(), before=share.state, reason=reason)
        with self._store.transaction():
            self._store.shares.move(
                share.id,
                State.DAMAGED,
                damage=damage,
                # A grant that cannot be undone may have made anything of it.
                decision=share.decision or intent.decision,
            )
            message = f"{reason}; end it: gpushare rm --force {share.name}"
            self._bus.publish("share.damaged", message, share=share.id)

    def _heal(self, intent: Intent) -> None:
        """The act was settled after all."""
        try:
            share = self._store.shares.get(intent.share)
        except NoSuchShareError:
            return
        if (damage := share.damage) is None:
            return
        if share.state.ended:
            return
        to = damage.before if share.state is State.DAMAGED else share.state
        decision = None if to is State.QUEUED else share.decision
        with self._store.transaction():
            self._store.shares.move(share.id, to, damage=None, decision=decision)
            self._bus.publish("share.repaired", damage.reason, share=share.id)


def _decisions(share: Share, pending: Iterable[Intent]) -> Iterator[Decision]:
    """Each place that the share has or may have; an act that changes limits names one twice."""
    seen = set()
    for decision in (share.decision, *(intent.decision for intent in pending)):
        if decision is not None and (key := (decision.gpus, decision.mechanisms)) not in seen:
            seen.add(key)
            yield decision
