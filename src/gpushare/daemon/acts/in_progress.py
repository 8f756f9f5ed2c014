# SPDX-License-Identifier: Apache-2.0
"""Acts in progress: what takes time, at most one per share, each in a task of its own.

Nothing is locked in the daemon while something is waited for. Code that decides and records is a
plain function: it runs from its first look at the records to its last write without a pause, so no
other change comes in between. Whatever takes time is an *act*: a mechanism's tool, the driver, a
tenant's program. An act is begun by such a function, which has written its intent to the journal,
and confirms itself by another. Other requests and passes go on meanwhile.

Invariants:
- A share has at most one act in progress. A second one waits for a brief act, and is refused while
  the act waits for programs (`OngoingAct.waits`).
- Two acts do not work on the same GPU's files and servers at the same time (`gpus`). These locks
  are held for the mechanisms only, never while programs are waited for.
- An act that fails in whatever way ends: its journal entry is settled by a later pass.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from gpushare.model.errors import ConflictError, GpushareError, unexpected
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.share import Share

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(eq=False)
class OngoingAct:
    """`doing`: what is done to the share. `waits`: for its programs, so it may take long.

    `frees`: a pass follows, because it may have freed something. `unwanted`: the share is being
    ended, so the act stops waiting for its programs.
    """

    doing: str
    waits: bool = False
    frees: bool = True
    unwanted: bool = False
    task: asyncio.Task[Any] | None = None
    begun: float = field(default_factory=time.monotonic)

    async def ended(self) -> None:
        """Return when it has ended, well or not."""
        if self.task is not None:
            await asyncio.wait([self.task])


class ActsInProgress:
    """`wake` is set when an act has ended that may have freed something."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._acts: dict[ShareId, OngoingAct] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._locks: dict[GpuId, asyncio.Lock] = {}
        self._errors: list[GpushareError] = []

    def begin(
        self,
        shares: Iterable[ShareId],
        doing: str,
        work: Coroutine[Any, Any, T],
        *,
        waits: bool = False,
        frees: bool = True,
    ) -> "asyncio.Task[T]":
        """Begin an act on shares that have none in progress. To wait for it: `outcome`."""
        act = OngoingAct(doing, waits, frees)
        for share in shares:
            assert share not in self._acts, f"a second act on {share}: {self._acts[share].doing}"
            self._acts[share] = act
        act.task = task = self.follow(self._run(act, work))
        # One that is given up before it began has awaited nothing.
        task.add_done_callback(lambda _: work.close())
        return task

    def follow(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run it in the background; `settled` waits for it too."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def report(self, task: "asyncio.Future[Any]") -> None:
        """No caller awaits it: the next pass reports its error."""

        def note(done: "asyncio.Future[Any]") -> None:
            if not done.cancelled() and isinstance(error := done.exception(), GpushareError):
                self._errors.append(error)

        task.add_done_callback(note)

    def wake(self) -> None:
        """Have a pass follow."""
        self._wake.set()

    def take_errors(self) -> list[GpushareError]:
        """Errors of acts that no caller awaited, since the last time."""
        errors, self._errors = self._errors, []
        return errors

    def of(self, share: ShareId) -> OngoingAct | None:
        return self._acts.get(share)

    def shares(self) -> Collection[ShareId]:
        """Shares with an act in progress."""
        return self._acts.keys()

    def begun_within(self, share: ShareId, seconds: float) -> bool:
        """Whether an act on the share is in progress that began not longer ago."""
        act = self._acts.get(share)
        return act is not None and time.monotonic() - act.begun < seconds

    async def idle(self, share: Share) -> None:
        """Return when no act on the share is in progress; the caller then begins one at once.

        Raises ConflictError if the act waits for the share's programs.
        """
        while (act := self._acts.get(share.id)) is not None:
            if act.waits:
                raise _conflict(share.name, act)
            await act.ended()

    def free(self, share: Share) -> None:
        """After a pause: raises ConflictError if another act on the share has begun meanwhile."""
        if act := self._acts.get(share.id):
            raise _conflict(share.name, act)

    async def ended(self, share: ShareId) -> None:
        """Return when the act on the share that is in progress now has ended."""
        if act := self._acts.get(share):
            await act.ended()

    async def briefly(self, share: ShareId) -> None:
        """As `ended`, for acts that do not wait for programs."""
        if (act := self._acts.get(share)) and not act.waits:
            await act.ended()

    def stop_waiting(self, share: ShareId) -> None:
        """The share is being ended: its act no longer waits for its programs."""
        if act := self._acts.get(share):
            act.unwanted = True

    def unwanted(self, share: ShareId) -> bool:
        """Whether the act on the share is to stop waiting."""
        act = self._acts.get(share)
        return act is not None and act.unwanted

    @asynccontextmanager
    async def gpus(self, gpus: Iterable[GpuId]) -> AsyncIterator[None]:
        """The only act that works on the files and servers of these GPUs."""
        async with AsyncExitStack() as stack:
            # In one order, so that two acts on the same two GPUs do not wait for each other.
            for gpu in sorted(set(gpus)):
                await stack.enter_async_context(self._locks.setdefault(gpu, asyncio.Lock()))
            yield

    async def settled(self) -> None:
        """Return when nothing is in progress any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def close(self) -> None:
        """Give up what is in progress; the next daemon settles it by the journal."""
        for task in self._tasks:
            task.cancel()

    async def _run(self, act: OngoingAct, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except GpushareError:
            act.frees = True
            raise
        except Exception as error:
            # A defect, or trouble that no code expects: it is this share's alone.
            _log.exception("act.broken", doing=act.doing)
            act.frees = True
            raise unexpected(f"a share could not be {act.doing}", error) from error
        finally:
            for share in [share for share, other in self._acts.items() if other is act]:
                del self._acts[share]
            if act.frees:
                self._wake.set()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        # Read here, so that asyncio does not report an error that no caller awaits.
        if not task.cancelled():
            task.exception()


def _conflict(name: str, act: OngoingAct) -> ConflictError:
    answer = ", and its programs have not answered yet" if act.waits else ""
    return ConflictError(
        f"another operation on share {name} is in progress",
        f"it is being {act.doing}{answer}",
        f"wait for it, or end the share: gpushare rm --force {name}",
    )


async def outcome(task: "asyncio.Future[T]") -> T:
    """Wait for an act; a caller that goes away does not cancel it."""
    return await asyncio.shield(task)
