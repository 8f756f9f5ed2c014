# SPDX-License-Identifier: Apache-2.0
"""Acts on the machine, each journaled: intent, act, confirm.

An act that was cut short is undone (grant, suspend, adjust) or finished (release, resume). Both
need only what the intent holds, and both may be repeated, because mechanisms are idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.hardware.ports import Clock
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.edits import Edits
from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, Share, State, Verification
from gpushare.model.units import format_bytes
from gpushare.store import Act, Intent, Store

from .transitions import Transitions

Step = Callable[[str], None]
Verify = Callable[[Share, Edits], Awaitable[Verification | None]]
_REMEMBERED = 100  # failures; who asked reads his at once
_OF_ANOTHER = "another share of its gang could not be made real"
_log = structlog.get_logger()


class Executor:
    """`prove` raises NotEnforcedError; `step` is told each point at which a crash may happen."""

    def __init__(
        self,
        store: Store,
        mechanisms: Mechanisms,
        bus: Bus,
        *,
        clock: Clock,
        verify: Verify,
        transitions: Transitions,
        step: Step = lambda _: None,
    ) -> None:
        self._transitions = transitions
        self._store, self._mechanisms = store, mechanisms
        self._bus, self._clock, self._verify, self._step = bus, clock, verify, step
        self._edits: dict[ShareId, Edits] = {}
        self._failures: dict[ShareId, GpushareError] = {}

    async def grant(self, wanted: Sequence[tuple[Share, Decision]]) -> None:
        """Make the decisions real: all shares are granted at once afterwards, or all have failed.

        So nobody is left with a part of a gang, whenever the daemon ends.
        """
        with self._store.transaction():
            intents = [
                self._store.intents.open(Intent(share=share.id, act=Act.GRANT, decision=decision))
                for share, decision in wanted
            ]
        self._step("grant written")
        made: list[tuple[Intent, Edits, Verification | None]] = []
        for intent, (share, decision) in zip(intents, wanted, strict=True):
            candidate = replace(share, decision=decision)
            try:
                edits = await asyncio.to_thread(self._mechanisms.prepare, candidate)
                self._step("grant acted")
                made.append((intent, edits, await self._verify(candidate, edits)))
            except GpushareError as error:
                await self._give_up(intents, intent, error)
                return
        self._granted(made)
        self._step("grant confirmed")

    async def edits(self, share: Share) -> Edits:
        """What a program of the share must carry."""
        if share.id not in self._edits:
            self._edits[share.id] = await asyncio.to_thread(self._mechanisms.prepare, share)
        return self._edits[share.id]

    def forget(self, share: ShareId) -> None:
        """The machine has changed under the share: prepare it anew when it is next entered."""
        self._edits.pop(share, None)

    async def release(self, share: Share, to: State, reason: str) -> Share:
        """Undo everything of the share and end it as `to`."""
        if share.decision is None:
            return self._end(share.id, to, reason)
        intent = Intent(
            share=share.id, act=Act.RELEASE, decision=share.decision, to=to, reason=reason
        )
        intent = self._store.intents.open(intent)
        self._step("release written")
        return await self._finish(intent, share)

    async def recover(self) -> None:
        """Undo or finish whatever was cut short; what fails again is tried again later."""
        for intent in self._store.intents.pending():
            share = replace(self._store.shares.get(intent.share), decision=intent.decision)
            try:
                await self._resume(intent, share)
            except GpushareError as error:
                _log.warning("recovery.failed", share=share.id, act=intent.act, error=str(error))

    def failure(self, share: ShareId) -> GpushareError | None:
        """The error that made a share of this daemon's life fail."""
        return self._failures.get(share)

    async def fail(self, share: Share, error: GpushareError) -> Share:
        self._remember(share.id, error)
        return await self.release(share, State.FAILED, str(error))

    def busy(self) -> set[ShareId]:
        """Shares with an act that is not confirmed."""
        return {intent.share for intent in self._store.intents.pending()}

    async def adjust(self, share: Share, decision: Decision, **changes: object) -> Share:
        """Apply the decision to what runs and keep it, with other changes to the record."""
        assert share.decision is not None
        spec = changes.get("spec", share.spec)
        intent = Intent(share=share.id, act=Act.ADJUST, decision=share.decision)
        intent = self._store.intents.open(intent)
        self._step("adjust written")
        try:
            wanted = replace(share, decision=decision, spec=spec)
            await asyncio.to_thread(self._mechanisms.adjust, wanted)
        except GpushareError:
            with suppress(GpushareError):  # then it stays in the journal, to be tried again
                await self._resume(intent, share)
            raise
        self._step("adjust acted")
        self.forget(share.id)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            share = self._store.shares.update(share.id, decision=decision, **changes)
            self._bus.publish("share.changed", _what(decision), share=share.id)
        self._step("adjust confirmed")
        return share

    async def _resume(self, intent: Intent, share: Share) -> None:
        if intent.act is Act.RELEASE:
            await self._finish(intent, share)
            return
        if intent.act in {Act.SUSPEND, Act.RESUME, Act.MIGRATE}:
            await self._transitions.recover(intent, share, await self._pids(share))
            return
        if intent.act is Act.ADJUST:
            await asyncio.to_thread(self._mechanisms.adjust, share)
            self._step("undo acted")
            self._store.intents.confirm(intent)
            return
        await asyncio.to_thread(self._mechanisms.release, share)
        self._step("undo acted")
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.rolled_back", "a grant that was cut short", share=share.id)

    async def _pids(self, share: Share) -> list[int]:
        seen = await asyncio.to_thread(self._mechanisms.observe, share)
        return list(dict.fromkeys((*(member.pid for member in share.members), *seen.pids)))

    async def _finish(self, intent: Intent, share: Share) -> Share:
        await asyncio.to_thread(self._mechanisms.release, share)
        self._step("release acted")
        self._edits.pop(share.id, None)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            ended = self._end(share.id, intent.to, intent.reason)
        self._step("release confirmed")
        return ended

    async def _give_up(self, gang: Sequence[Intent], at: Intent, error: GpushareError) -> None:
        """End all, for one could not be made real. What cannot be undone now stays journaled."""
        self._remember(at.share, error)
        failed = []
        with self._store.transaction():
            for intent in gang:
                self._store.intents.confirm(intent)
                reason = str(error) if intent is at else _OF_ANOTHER
                release = replace(intent, act=Act.RELEASE, to=State.FAILED, reason=reason)
                failed.append(self._store.intents.open(release))
        for intent in failed:
            share = replace(self._store.shares.get(intent.share), decision=intent.decision)
            with suppress(GpushareError):
                await self._finish(intent, share)
        if not self._store.shares.get(at.share).state.ended:
            raise error

    def _remember(self, share: ShareId, error: GpushareError) -> None:
        self._failures[share] = error
        while len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def _granted(self, made: Sequence[tuple[Intent, Edits, Verification | None]]) -> None:
        now = self._clock.now()
        with self._store.transaction():
            for intent, _, verified in made:
                self._store.intents.confirm(intent)
                self._store.shares.move(
                    intent.share,
                    State.GRANTED,
                    decision=intent.decision,
                    verified=verified,
                    expires=_expiry(self._store.shares.get(intent.share), now),
                    granted=now,
                    booking=None,
                    reason="",
                )
                self._bus.publish("share.granted", _how(intent.decision), share=intent.share)
        self._edits |= {intent.share: edits for intent, edits, _ in made}

    def _end(self, share: ShareId, to: State, reason: str) -> Share:
        """A share that had a fault has failed, also when the fault was told while it ended."""
        if (found := self._store.shares.get(share)).state.ended:
            return found
        if found.reason:
            to, reason = State.FAILED, found.reason
        with self._store.transaction():
            ended = self._store.shares.move(
                share, to, reason=reason, ended=self._clock.now(), members=()
            )
            self._bus.publish(f"share.{to}", reason, share=share)
        return ended


def _expiry(share: Share, now: datetime) -> datetime | None:
    """A reservation ends when it was said to, also where it began late."""
    if share.spec.ttl is None:
        return None
    return (share.spec.at or now) + timedelta(seconds=share.spec.ttl)


def _what(decision: Decision) -> str:
    said = (f"{format_bytes(g.limit)} and {g.compute} % of {g.gpu}" for g in decision.grants)
    return ", ".join(said)


def _how(decision: Decision) -> str:
    return f"{'+'.join(decision.mechanisms)} on {', '.join(decision.gpus)}"
