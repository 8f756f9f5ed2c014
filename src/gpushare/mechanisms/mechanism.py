# SPDX-License-Identifier: Apache-2.0
"""What every mechanism is: acts on the machine, what it observes, and a promise.

Model: the daemon calls the mechanisms of a share's stack, the base first: `prepare` makes the
grants real and returns the `Edits` that the share's programs need; `adjust` applies new grants to
what runs; `suspend`, `resume` and `move` take programs off their GPUs, back, and to others;
`release` undoes `prepare`. `observe` reads what happens, `mend` repairs what belongs to no share.

Invariants:
- Acts are idempotent, because a daemon that died in one repeats it.
- `release` and `drain` need only the share's record: the daemon that prepared it may be gone.
- An act on one share changes nothing for another, except `mend`.
- An observation reports what is unknown as None or absent, never as zero.
- Facts about a mechanism that other rooms need are in its `Promise`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Protocol

from gpushare.guard import Phase, RegionSlot, ShareSlot, why_unmigratable, why_unmovable
from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.promise import Promise
from gpushare.model.share import ProofCheck, Share
from gpushare.model.spec import GpuGrant
from gpushare.model.units import Bytes
from gpushare.model.value import Value


class Moves(Value):
    """How a share's programs move off the GPU and back, according to its region.

    `halt`: odd while they must be away. `movable`: their memory is made so that it can move.
    `former`: they run under the guard of an earlier release. `needed`: host memory for all that
    would leave the GPU; `missing`: what of that the host does not have now.
    """

    halt: int
    slots: tuple[RegionSlot, ...] = ()
    movable: bool = True
    former: bool = False
    needed: Bytes = Bytes(0)
    missing: Bytes = Bytes(0)

    @property
    def unmovable(self) -> tuple[str, ...]:
        """Why some of it cannot move now."""
        return why_unmovable(self._bits)

    @property
    def unmigratable(self) -> tuple[str, ...]:
        """Why the driver could not move it to another GPU now."""
        former = ("its programs run under the guard of an earlier gpushare",) if self.former else ()
        return (*former, *why_unmigratable(self._bits))

    @property
    def _bits(self) -> int:
        return reduce(or_, (slot.unmovable for slot in self.slots), 0)

    @property
    def away(self) -> bool:
        """Every program has left the GPU, as it was asked to."""
        return all(
            slot.phase is Phase.AWAY and slot.suspend_seen == self.halt for slot in self.slots
        )

    @property
    def back(self) -> bool:
        """Every program runs again."""
        return all(slot.phase is Phase.RUNS for slot in self.slots)

    @property
    def memory(self) -> Bytes:
        """What can leave the GPU, or has left it."""
        return Bytes(sum(slot.movable for slot in self.slots))

    @property
    def gone(self) -> Bytes:
        """Of that, what is not on the GPU now."""
        return Bytes(sum(min(slot.away, slot.movable) for slot in self.slots))

    @property
    def host(self) -> Bytes:
        """Of that, for what host memory is ready or in use."""
        return Bytes(sum(min(slot.host, slot.movable) for slot in self.slots))

    @property
    def leaving(self) -> bool:
        """They are to leave the GPU, and have not all done so."""
        return self.halt % 2 == 1 and not self.away

    @property
    def returning(self) -> bool:
        """They are to run, and are not all back."""
        return self.halt % 2 == 0 and not self.back

    @property
    def failures(self) -> tuple[RegionSlot, ...]:
        """Those that refused the last request."""
        return tuple(s for s in self.slots if s.failure and s.suspend_seen == self.halt)


class Observation(Value):
    """What a mechanism sees of a share now. An absent GPU or None: it cannot tell.

    `used`, `peak`: bytes per GPU. `pids`: processes of the share. `denied`: refused allocations.
    `fault`: what went wrong with the mechanism itself, a sentence. `blamed`: processes that caused
    it. `cached`: of `used`, what programs have freed. `share_slots`: its slots on the GPU pages.
    `counted`: those of `pids` that the guard counts. `unreadable`: why its region cannot be read.
    `impossible`: GPUs of which the region says more than they have. `unlisted`, `unhooked`: see
    `gpushare.guard.region`.
    """

    used: dict[GpuId, Bytes] = {}
    peak: dict[GpuId, Bytes] = {}
    pids: tuple[int, ...] = ()
    denied: int | None = None
    fault: str = ""
    blamed: tuple[int, ...] = ()
    cached: Bytes | None = None
    share_slots: dict[GpuId, ShareSlot] = {}
    moves: Moves | None = None
    counted: tuple[int, ...] = ()
    unreadable: str = ""
    impossible: tuple[GpuId, ...] = ()
    unlisted: int | None = None
    unhooked: int | None = None

    def __or__(self, other: "Observation") -> "Observation":
        """Both; where both have a value the right one wins."""
        return Observation(
            used={**self.used, **other.used},
            peak={**self.peak, **other.peak},
            pids=tuple(dict.fromkeys((*self.pids, *other.pids))),
            denied=self.denied if other.denied is None else other.denied,
            fault=other.fault or self.fault,
            blamed=tuple(dict.fromkeys((*self.blamed, *other.blamed))),
            cached=self.cached if other.cached is None else other.cached,
            share_slots={**self.share_slots, **other.share_slots},
            moves=other.moves or self.moves,
            counted=tuple(dict.fromkeys((*self.counted, *other.counted))),
            unreadable=other.unreadable or self.unreadable,
            impossible=tuple(dict.fromkeys((*self.impossible, *other.impossible))),
            unlisted=self.unlisted if other.unlisted is None else other.unlisted,
            unhooked=self.unhooked if other.unhooked is None else other.unhooked,
        )


@dataclass(frozen=True)
class Rival:
    """A second share for a while, whose programs compete with those of a share.

    `edits`: what its programs need, in addition to the share's own. `given`: what the share got on
    a GPU since then, in percent of the time that it wanted; None: unknown.
    """

    edits: Edits
    given: Callable[[GpuId], float | None]


Observe = Callable[[Share], Observation]


class Mechanism(Protocol):
    """All acts raise HardwareError when the machine refuses."""

    @property
    def promise(self) -> Promise: ...

    def unavailable(self, gpus: Sequence[Gpu]) -> str:
        """Why it cannot be used on a machine with these working GPUs; "" when it can."""
        ...

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        """Make the grants real and say what a program must carry to live under them."""
        ...

    def problem(self, share: Share, grants: Sequence[GpuGrant]) -> str:
        """Why a program that starts now would not be limited; "" when it would be.

        A few words that continue `the share cannot be used, because`.
        """
        ...

    def restore(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Write limits again that a program may have changed."""
        ...

    def renew(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """End the problem. Only while no program of the share uses a GPU."""
        ...

    def prove(self, share: Share, grants: Sequence[GpuGrant]) -> Sequence[ProofCheck]:
        """Whether what its limits depend on is as it made it. Only reads, and disturbs nothing."""
        ...

    def rival(self, share: Share) -> AbstractContextManager[Rival | None]:
        """A rival of the share, where the mechanism guarantees GPU time; raises HardwareError."""
        ...

    def adjust(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Apply new grants to what runs, as far as the mechanism can."""
        ...

    def drain(self, share: Share, pids: Sequence[int]) -> None:
        """Before `pids` of the share are killed: end their GPU work in order."""
        ...

    def release(self, share: Share) -> None:
        """Undo prepare, whether it finished or not."""
        ...

    def suspend(self, share: Share, keep: Bytes) -> None:
        """Ask the share's programs to leave the GPU, all but `keep` bytes on each."""
        ...

    def resume(self, share: Share) -> None:
        """Ask them to return; also undoes a suspend that was not finished."""
        ...

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        """Apply limits on other GPUs while the programs are off the GPU.

        `grants` are in the order of those they replace. Nothing remains on `left`.
        """
        ...

    def put_peak(self, share: Share, peak: Mapping[GpuId, Bytes]) -> None:
        """Let `peak` be the most that the share's programs had: what a probe had does not count."""
        ...

    def observe(self, share: Share) -> Observation: ...

    def observing(self) -> Observe:
        """`observe` for many shares at one moment: what they have in common is read once."""
        ...

    def trouble(self, gpu: GpuId) -> str:
        """What is wrong with what it runs for the GPU, as known without waiting; "" for nothing."""
        ...

    def unready(self, gpu: GpuId) -> str:
        """Why a new share could not use it on the GPU, as last seen; "" when it could."""
        ...

    def mend(self) -> tuple[str, ...]:
        """Restore what broke between shares; a sentence for each thing done."""
        ...

    def shares(self) -> set[ShareId]:
        """Those that have a place in what all shares of a GPU have in common."""
        ...

    def forget(self, shares: Collection[ShareId]) -> set[ShareId]:
        """Free the places of shares that no longer exist; not where a process of theirs lives."""
        ...


class PassiveMechanism:
    """Acts of a mechanism that leaves the machine as it is; most override some of them."""

    def unavailable(self, gpus: Sequence[Gpu]) -> str:  # noqa: ARG002
        return ""

    def problem(self, share: Share, grants: Sequence[GpuGrant]) -> str:  # noqa: ARG002
        return ""

    def restore(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """No program can change them."""

    def renew(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Nothing is missing."""

    def prove(self, share: Share, grants: Sequence[GpuGrant]) -> Sequence[ProofCheck]:  # noqa: ARG002
        return ()

    def rival(self, share: Share) -> AbstractContextManager[Rival | None]:  # noqa: ARG002
        return nullcontext()

    def adjust(self, share: Share, grants: Sequence[GpuGrant]) -> None:
        """Nothing to adjust."""

    def drain(self, share: Share, pids: Sequence[int]) -> None:
        """The driver ends a killed program's work, and takes its memory back, by itself."""

    def release(self, share: Share) -> None:
        """Nothing was made."""

    def suspend(self, share: Share, keep: Bytes) -> None:
        """Nothing of it can move."""

    def resume(self, share: Share) -> None:
        """Nothing of it has moved."""

    def move(self, share: Share, grants: Sequence[GpuGrant], left: Sequence[GpuId]) -> None:
        """Nothing of it depends on a GPU."""

    def put_peak(self, share: Share, peak: Mapping[GpuId, Bytes]) -> None:
        """It keeps none."""

    def observe(self, share: Share) -> Observation:  # noqa: ARG002
        return Observation()

    def observing(self) -> Observe:
        return self.observe

    def trouble(self, gpu: GpuId) -> str:  # noqa: ARG002
        return ""

    def unready(self, gpu: GpuId) -> str:  # noqa: ARG002
        return ""

    def mend(self) -> tuple[str, ...]:
        return ()

    def shares(self) -> set[ShareId]:
        return set()

    def forget(self, shares: Collection[ShareId]) -> set[ShareId]:  # noqa: ARG002
        return set()
