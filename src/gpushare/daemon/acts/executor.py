# SPDX-License-Identifier: Apache-2.0
"""Acts on the machine through the journal: intent, act, confirm.

Every act on a share has three steps. The *intent* is committed to the store before the machine is
touched and holds all that is needed to finish or undo the act. Then the mechanisms *act*. Then one
transaction *confirms*: it deletes the intent, records the new state and publishes the event.

A daemon that dies between two steps leaves an intent behind. `recover` reads the journal and

- undoes a grant, a suspend, an adjust or a migrate, so that the share is as it was;
- finishes a release or a resume.

Undoing and finishing may themselves be interrupted: mechanisms are idempotent, so both are repeated
until they succeed or are given up (`recovery`). Until then the share is *busy*, and no other act on
it begins.

What an act does between intent and confirmation takes time and runs as an act in progress
(`in_progress`); the intent and the confirmation are written by plain functions. `grant`, `adjust`
and `release` write the intent and begin the act at once; the task that they return is its outcome.

Invariants:
- No act without a committed intent; no recorded state that the machine does not have.
- The shares of a gang become granted in one transaction or fail together.
- An error of an act is raised after its undo was tried; an undo that fails stays in the journal.
- `step` is called at each point where a crash would leave a different state; tests crash there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec.structs import replace

from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.threads import in_own_thread
from gpushare.hardware.ports import Clock
from gpushare.mechanisms.stack import Mechanisms
from gpushare.model.edits import Edits
from gpushare.model.errors import ConflictError, GpushareError, unexpected
from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, Share, State, Verification
from gpushare.store import Act, Intent, Store

from .decided import changed_to, expiry, granted_how, kept_memory
from .in_progress import ActsInProgress
from .peers import Peers
from .program_ends import ProgramEnds
from .recovery import Recovery
from .transitions import Transitions

Step = Callable[[str], None]
Verify = Callable[[Share, Edits], Awaitable[Verification | None]]
# Another decision for a share whose decision failed with the error; None: there is none.
Otherwise = Callable[[Share, GpushareError], Decision | None]
_Made = tuple[Intent, Edits, Verification | None]
_REMEMBERED = 100  # failures kept; callers read theirs immediately
_OF_ANOTHER = "another share of its gang could not be granted"
_log = structlog.get_logger()


class Executor:
    """`verify` raises NotEnforcedError; `step` is called at each point where a crash may happen."""

    def __init__(
        self,
        store: Store,
        mechanisms: Mechanisms,
        bus: Bus,
        *,
        clock: Clock,
        verify: Verify,
        transitions: Transitions,
        acts: ActsInProgress,
        peers: Peers,
        ends: ProgramEnds,
        step: Step = lambda _: None,
    ) -> None:
        self._transitions, self.acts, self._peers = transitions, acts, peers
        self._ends = ends
        self._store, self._mechanisms = store, mechanisms
        self._bus, self._clock, self._verify, self._step = bus, clock, verify, step
        # A cache only: a new daemon prepares a share again when a program next enters it.
        self._edits: dict[ShareId, Edits] = {}
        self._recovery = Recovery(
            store,
            mechanisms,
            bus,
            clock=clock,
            acts=acts,
            settle=self._settle_intent,
            end=self._end,
        )
        self._failures: dict[ShareId, GpushareError] = {}

    def grant(
        self,
        decided: Sequence[tuple[Share, Decision]],
        otherwise: Otherwise = lambda _, __: None,
    ) -> asyncio.Task[None]:
        """Make the decisions real: in the end all shares are granted, or all have failed.

        No gang is granted in part, whenever the daemon ends.
        """
        with self._store.transaction():
            intents = [
                # In one transaction: a crash leaves the whole gang in the journal, or nothing of
                # it.
                self._store.intents.open(Intent(share=share.id, act=Act.GRANT, decision=decision))
                for share, decision in decided
            ]
        self._step("grant written")
        shares = [share.id for share, _ in decided]
        work = self._grant(intents, [share for share, _ in decided], otherwise)
        return self.acts.begin(shares, "granted", work, frees=False)

    async def edits(self, share: Share) -> Edits:
        """What a program of the share needs around it; the caller is an act on the share."""
        if (edits := self._edits.get(share.id)) is None:
            self._edits[share.id] = edits = await self._prepare(share)
        return edits

    def forget(self, share: ShareId) -> None:
        """The machine has changed for the share: prepare it again when it is next entered."""
        self._edits.pop(share, None)

    def release(self, share: Share, to: State, reason: str) -> asyncio.Future[Share]:
        """Undo everything of the share and end it as `to`."""
        # A queued share has made nothing on the machine, so there is nothing to journal.
        if share.decision is None:
            ended = asyncio.get_running_loop().create_future()
            ended.set_result(self._end(share.id, to, reason))
            return ended
        intent = Intent(
            share=share.id, act=Act.RELEASE, decision=share.decision, to=to, reason=reason
        )
        intent = self._store.intents.open(intent)
        self._step("release written")
        return self.acts.begin([share.id], "released", self._finish(intent, share))

    def recover(self) -> None:
        """Begin to undo or finish interrupted acts; what fails again is tried again later."""
        self._recovery.run()

    def due(self) -> list[float]:
        """When interrupted acts are tried again, by the clock's `elapsed`."""
        return self._recovery.times()

    def abandon(self, share: Share, reason: str) -> asyncio.Task[Share]:
        """End a share whose interrupted act can be neither finished nor undone.

        What can be released is released. Raises CgroupError while processes of it live.
        """
        self._edits.pop(share.id, None)
        because = share.damage.reason if share.damage else share.reason or reason
        work = self._recovery.abandon(share, because)
        return self.acts.begin([share.id], "removed", work)

    async def ready(self, share: Share) -> Share:
        """The share without any act; its caller begins the next one at once.

        Raises ConflictError while an interrupted act can be neither finished nor undone, or one in
        progress waits for programs.
        """
        await self.acts.idle(share)
        for intent in [it for it in self._store.intents.pending() if it.share == share.id]:
            self._recovery.begin(intent)
            await self.acts.ended(share.id)
        if share.id in self.busy():
            share = self._store.shares.get(share.id)
            raise ConflictError(
                f"another operation on share {share.name} is in progress",
                share.damage.reason
                if share.damage
                else "an earlier act can neither be finished nor undone now",
                f"end the share: gpushare rm --force {share.name}",
            )
        return self._store.shares.get(share.id)

    def mark_running(self, share: Share, **changes: object) -> Share:
        """Record that a program of the share runs, with other changes to the record."""
        started = share.started or self._clock.now()
        with self._store.transaction():
            if share.state is State.GRANTED:
                self._bus.publish("share.running", "its first program runs", share=share.id)
            # A program may enter a share that is suspended or waits for its memory turn; it stays
            # suspended.
            to = State.SUSPENDED if share.suspension else State.RUNNING
            return self._store.shares.move(share.id, to, started=started, **changes)

    def failure(self, share: ShareId) -> GpushareError | None:
        """The error that made a share fail, if it failed since the daemon started."""
        return self._failures.get(share)

    def fail(self, share: Share, error: GpushareError) -> asyncio.Future[Share]:
        """End the share as failed; `failure` returns the error afterwards."""
        self._remember(share.id, error)
        return self.release(share, State.FAILED, str(error))

    def is_busy(self, share: ShareId) -> bool:
        """Whether it is among `busy`."""
        pending = self._store.intents.pending()
        return self.acts.of(share) is not None or any(it.share == share for it in pending)

    def busy(self) -> set[ShareId]:
        """Shares with an act that is in progress or not confirmed."""
        return {intent.share for intent in self._store.intents.pending()} | {*self.acts.shares()}

    def adjust(self, share: Share, decision: Decision, **changes: object) -> asyncio.Task[Share]:
        """Apply the decision to running programs and record it, with other changes."""
        # The journal has the new decision, so that the scheduler keeps room for it meanwhile.
        intent = Intent(share=share.id, act=Act.ADJUST, decision=decision)
        intent = self._store.intents.open(intent)
        self._step("adjust written")
        work = self._adjust(intent, share, decision, changes)
        return self.acts.begin([share.id], "changed", work)

    async def _adjust(
        self, intent: Intent, share: Share, decision: Decision, changes: dict[str, object]
    ) -> Share:
        adjusted = replace(share, decision=decision, spec=changes.get("spec", share.spec))
        try:
            async with self.acts.gpus(decision.gpus):
                await in_own_thread(self._mechanisms.adjust, adjusted)
        except Exception:
            await self._recovery.attempt(intent)  # else it stays in the journal
            raise
        self._step("adjust acted")
        self.forget(share.id)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            kept = kept_memory(share, decision)
            share = self._store.shares.update(share.id, decision=decision, kept=kept, **changes)
            self._bus.publish("share.changed", changed_to(decision), share=share.id)
        self._step("adjust confirmed")
        return share

    async def _grant(
        self, intents: list[Intent], shares: Sequence[Share], otherwise: Otherwise
    ) -> None:
        made: list[_Made] = []
        for place, share in enumerate(shares):
            try:
                made.append(await self._make(intents, place, share, otherwise))
            except Exception as error:  # noqa: BLE001 (whatever it is, it ends this gang only)
                await self._give_up(intents, intents[place], unexpected("a grant failed", error))
                return
        # Before they are confirmed, so that no program starts CUDA without its peers.
        await self._peers.admit({share.uid for share in shares}, {share.id for share in shares})
        self._granted(made)
        self._step("grant confirmed")

    async def _make(
        self, intents: list[Intent], place: int, share: Share, otherwise: Otherwise
    ) -> _Made:
        """By another decision where one fails and leaves one; `intents` follows."""
        while True:
            intent = intents[place]
            candidate = replace(share, decision=intent.decision)
            try:
                edits = await self._prepare(candidate)
                self._step("grant acted")
                # The probe runs before the grant is confirmed, so no program starts under a promise
                # that this driver does not keep (ADR 0004).
                return intent, edits, await self._verify(candidate, edits)
            except GpushareError as error:
                if (decision := otherwise(candidate, error)) is None:
                    raise
                await self._undo_all(candidate)
                self._step("undo acted")
                intents[place] = self._replaced(intent, decision, error)

    def _replaced(self, intent: Intent, decision: Decision, error: GpushareError) -> Intent:
        """The same grant by another decision; a crash finds one of the two."""
        how = granted_how(decision)
        why = f"{'+'.join(intent.decision.mechanisms)} failed, {how} is tried: {error}"
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.rolled_back", why, share=intent.share)
            return self._store.intents.open(
                Intent(share=intent.share, act=Act.GRANT, decision=decision)
            )

    async def _prepare(self, share: Share) -> Edits:
        async with self.acts.gpus(share.decision.gpus if share.decision else ()):
            return await in_own_thread(self._mechanisms.prepare, share)

    async def _settle_intent(self, intent: Intent) -> None:
        share = replace(self._store.shares.get(intent.share), decision=intent.decision)
        await self._settle(intent, share)

    async def _settle(self, intent: Intent, share: Share) -> None:
        if intent.act is Act.RELEASE:
            await self._finish(intent, share)
            return
        if intent.act in {Act.SUSPEND, Act.RESUME, Act.MIGRATE}:
            await self._transitions.recover(intent, share, await self._pids(share))
            return
        # The record still has the old decision, so applying the record again is the undo.
        if intent.act is Act.ADJUST:
            share = self._store.shares.get(intent.share)
            async with self.acts.gpus(intent.decision.gpus):
                await in_own_thread(self._mechanisms.adjust, share)
            self._step("undo acted")
            self._store.intents.confirm(intent)
            return
        await self._undo_all(share)
        self._step("undo acted")
        with self._store.transaction():
            self._store.intents.confirm(intent)
            self._bus.publish("share.rolled_back", "a grant that was interrupted", share=share.id)

    async def _undo_all(self, share: Share) -> None:
        async with self.acts.gpus(share.decision.gpus if share.decision else ()):
            await in_own_thread(self._mechanisms.release, share)

    async def _pids(self, share: Share) -> list[int]:
        observed = await in_own_thread(self._mechanisms.observe, share)
        # After a crash the store knows the programs that entered, the machine also their children.
        # Both are needed: a process that is forgotten here would stay off the GPU.
        return list(dict.fromkeys((*(member.pid for member in share.members), *observed.pids)))

    async def _finish(self, intent: Intent, share: Share) -> Share:
        await self._undo_all(share)
        self._step("release acted")
        self._edits.pop(share.id, None)
        with self._store.transaction():
            self._store.intents.confirm(intent)
            ended = self._end(share.id, intent.to, intent.reason)
        await self._peers.admit({share.uid})
        self._step("release confirmed")
        return ended

    async def _give_up(self, gang: Sequence[Intent], at: Intent, error: GpushareError) -> None:
        """End all shares of the gang. What cannot be undone now stays in the journal."""
        self._remember(at.share, error)
        failed = []
        with self._store.transaction():
            # The grants become releases in one transaction: a crash in between finds a gang to
            # undo, never one of which a part is granted.
            for intent in gang:
                self._store.intents.confirm(intent)
                reason = str(error) if intent is at else _OF_ANOTHER
                release = replace(intent, act=Act.RELEASE, to=State.FAILED, reason=reason)
                failed.append(self._store.intents.open(release))
        for intent in failed:
            await self._recovery.attempt(intent)
        if not self._store.shares.get(at.share).state.ended:
            raise error

    def _remember(self, share: ShareId, error: GpushareError) -> None:
        self._failures[share] = error
        while len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def _granted(self, made: Sequence[_Made]) -> None:
        now = self._clock.now()
        with self._store.transaction():
            for intent, _, verified in made:
                self._store.intents.confirm(intent)
                self._store.shares.move(
                    intent.share,
                    State.GRANTED,
                    decision=intent.decision,
                    verified=verified,
                    expires=expiry(self._store.shares.get(intent.share), now),
                    granted=now,
                    booking=None,
                    reason="",
                )
                self._bus.publish("share.granted", granted_how(intent.decision), share=intent.share)
        self._edits |= {intent.share: edits for intent, edits, _ in made}

    def _end(self, share: ShareId, to: State, reason: str) -> Share:
        """A share that had a fault has failed, even if the fault was reported while it ended."""
        current = self._store.shares.get(share)
        # A release that is repeated after a crash must not end the share a second time, with a
        # second event.
        if current.state.ended:
            return current
        if current.reason:
            to, reason = State.FAILED, current.reason
        with self._store.transaction():
            now, escape = self._clock.now(), current.escape
            ended = self._store.shares.move(
                share,
                to,
                reason=reason,
                ended=now,
                members=(),
                entered=(),
                **self._ends.last(current),
                escape=replace(escape, until=now) if escape and escape.active else escape,
            )
            self._bus.publish(f"share.{to}", reason, share=share)
        return ended
