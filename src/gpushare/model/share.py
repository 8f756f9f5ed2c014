# SPDX-License-Identifier: Apache-2.0
"""A share as the daemon keeps it, the decision behind it, and what is promised about it.

Model: a share is `queued` until a decision gives it GPUs and mechanisms, `granted` once they are
prepared, `running` while it has processes, `suspended` while its programs are off the GPU, and ends
as `released` or `failed`:

    queued -> granted -> running <-> suspended -> released, or failed with a cause

A share is `damaged` while an act on it can be neither finished nor undone.

Its `spec` is what it may use; its `decision` what that means on chosen GPUs. Both may change while
it lives; `asked` keeps the spec that was requested.

Invariants:
- Granted, running, suspended and damaged shares hold capacity (`State.holds`), and have a decision.
  A share that is suspended other than for a turn leaves its room to others (`Share.aside`).
- The first mechanism of a decision is the base, the others are layers on it.
- A process is a pid and its start time.
- Records are values: a change is a new record, written by the store in one transaction.
"""

from datetime import datetime
from enum import StrEnum, unique

from gpushare.model.access.role import Role

from .escape import EscapePeriod
from .ids import GpuId, ShareId, Tenant
from .spec import GpuGrant, MechanismName, ShareSpec
from .state.program_end import ProgramEnd
from .units import Bytes
from .value import Value

WAITS_FOR_TURN = "waits for its turn"  # the reason of a share that others keep off the GPU


@unique
class State(StrEnum):
    QUEUED = "queued"
    GRANTED = "granted"
    RUNNING = "running"
    SUSPENDED = "suspended"
    DAMAGED = "damaged"
    RELEASED = "released"
    FAILED = "failed"

    @property
    def holds(self) -> bool:
        """Whether a share in this state keeps GPU capacity."""
        return self.value in _HOLDING

    @property
    def ended(self) -> bool:
        """Whether the share is over: it holds nothing and never changes again."""
        return self.value in _ENDED


# By value: every pass asks this of each share, and the hash of an enum's member is a Python call.
_HOLDING = frozenset(("granted", "running", "suspended", "damaged"))
_ENDED = frozenset(("released", "failed"))


@unique
class Level(StrEnum):
    """How far a promise holds, strongest first."""

    ENFORCED = "enforced"  # by driver or hardware: a tenant cannot escape
    COOPERATIVE = "cooperative"  # by the guard or an MPS client limit: holds for honest programs
    REPORTED = "reported"  # nothing stops it, but it is seen
    NONE = "none"

    def at_least(self, other: "Level") -> bool:
        """Whether this level is as strong as the other, or stronger."""
        return _STRONGEST_FIRST[self.value] <= _STRONGEST_FIRST[other.value]


_STRONGEST_FIRST = {level.value: number for number, level in enumerate(Level)}


class Enforcement(Value):
    memory: Level = Level.NONE
    compute: Level = Level.NONE
    fault: Level = Level.NONE
    devices: Level = Level.NONE


class Decision(Value):
    """Where a share lands and how it is made real. `why` and `unprotected` are for `--explain`."""

    grants: tuple[GpuGrant, ...]
    mechanisms: tuple[MechanismName, ...]  # the base first, then the layers on it
    enforcement: Enforcement = Enforcement()
    why: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()

    @property
    def gpus(self) -> tuple[GpuId, ...]:
        """In the order of the grants, which is the order of the program's devices."""
        return tuple([grant.gpu for grant in self.grants])


class ProcessRef(Value):
    """A process that cannot be confused with a later one of the same pid.

    `started`: clock ticks since boot, field 22 of /proc/PID/stat.
    """

    pid: int
    started: int


class Entered(Value):
    """How a process came into a share.

    `at`: when, as `ProcessRef.started` counts. `grouped`: it joined the share's control group.
    `place`: the control group that it was in before.
    """

    process: ProcessRef
    at: int
    grouped: bool = False
    place: str = ""


class Spared(Value):
    """A process in a share that ended, which went on, and why it was not ended."""

    pid: int
    because: str


class Caller(Value):
    """Who sends a request: as the kernel reports it (SO_PEERCRED), or as a token does.

    `token`: its id. `remote`: the address it comes from; None: this machine, and only then `pid`
    says something. `scopes` None: all that the role allows.
    """

    uid: int
    gid: int
    pid: int
    role: Role = Role.USER
    token: str | None = None
    remote: str | None = None
    scopes: tuple[str, ...] | None = None


@unique
class Trial(StrEnum):
    """How verification came to a finding."""

    TRIED = "tried"  # a probe tried it now
    PROMISED = "promised"  # documented; trying it here would harm other programs
    UNTRIED = "untried"  # it could not be tried now


@unique
class AttackResult(StrEnum):
    """How an attempt to get past a limit ended."""

    HELD = "held"  # it was refused, or gained nothing
    THROUGH = "through"  # it got past the limit
    UNTRIED = "untried"


class Attack(Value):
    """A published way around a limit, as the probe tried it."""

    name: str
    result: AttackResult
    evidence: str = ""


class Finding(Value):
    """What verification found about one dimension.

    `delivered` is None where nothing was tried; `evidence` says why. `attacks`: the ways around the
    limit that the probe tried.
    """

    dimension: str  # memory, compute, fault, devices
    promised: Level
    delivered: Level | None
    evidence: str
    trial: Trial = Trial.TRIED
    attacks: tuple[Attack, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was delivered that is less than promised."""
        return self.delivered is None or self.delivered.at_least(self.promised)


class Verification(Value):
    """`ok`: something was tried, and nothing of it was less than promised."""

    at: datetime
    ok: bool
    findings: tuple[Finding, ...] = ()
    driver: str = ""

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What was tried and is less than promised."""
        return tuple(finding for finding in self.findings if not finding.ok)

    @property
    def untried(self) -> tuple[Finding, ...]:
        """What could not be tried now, and may be tried later."""
        return tuple(f for f in self.findings if f.trial is Trial.UNTRIED)


class ProofCheck(Value):
    """`ok` None: it could not be read. `evidence`: what was found instead, or why not."""

    name: str
    ok: bool | None
    evidence: str = ""


class Proof(Value):
    """The newest look at what a living share's limits depend on: by reading, not by trying."""

    at: datetime
    checks: tuple[ProofCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that is not as it should be."""
        return not self.failures

    @property
    def failures(self) -> tuple[ProofCheck, ...]:
        return tuple(check for check in self.checks if check.ok is False)

    @property
    def text(self) -> str:
        """What was found, one sentence without an end; "" if all is as it should be."""
        return "; ".join(f"{check.name}: {check.evidence}" for check in self.failures)


@unique
class Cause(StrEnum):
    """Why a share is suspended."""

    USER = "user"  # by a user, and only a user resumes it; it has no guarantees meanwhile
    TURN = "turn"  # others that take turns with it have the GPU memory
    RECLAIM = "reclaim"  # the room was guaranteed to another share; it resumes by itself
    IDLE = "idle"  # it used no GPU time and the policy suspends idle shares; a user resumes it


@unique
class Tier(StrEnum):
    """How programs are taken off the GPU."""

    MEMORY = "memory"  # the guard moves what they have allocated; contexts stay
    CHECKPOINT = "checkpoint"  # the driver's checkpoint: contexts go too

    @classmethod
    def _missing_(cls, value: object) -> "Tier | None":
        """Earlier releases wrote `deep`, and stored shares still contain it."""
        return cls.CHECKPOINT if value == "deep" else None


class Suspension(Value):
    """`left`: the GPUs that it was taken from by the driver, where its place is on others now.

    `hindered`: why its memory turn does not come; empty where it only waits for it.
    """

    cause: Cause
    since: datetime
    tier: Tier = Tier.MEMORY
    left: tuple[GpuId, ...] = ()
    hindered: str = ""


class Moved(Value):
    """The newest suspend and resume by one tier: seconds, and bytes that were copied."""

    out_seconds: float | None = None
    in_seconds: float | None = None
    out_bytes: Bytes | None = None
    in_bytes: Bytes | None = None


class Damage(Value):
    """What makes a share damaged: `act` could be neither finished nor undone.

    `before`: its state until then, and again if the act is settled after all.
    """

    act: str
    since: datetime
    before: State
    reason: str


class Share(Value):
    """One share's record.

    `holder` is the process whose life bounds it; None: held until rm or ttl. `members` are the
    processes that entered, `entered` how they did; their children are found by cgroup and region.
    `granted` is when it got its place, or came back to it. `booking` is where a reservation will
    land. `program` is what profiles of past runs are about. `asked` is the spec as requested, where
    a policy has changed it. `escape` is the newest time in which its limits did not hold, `proof`
    the newest look at what they depend on. `kept` is memory that it has from before its limit was
    lowered. `spared` are processes that were not ended with it. `end` is how its holder ended, and
    `peak` the most GPU memory that it had, once it has ended. `supervised`: a supervisor reports
    that end. `forget`: nothing is remembered of it. `waiter` bounds it while it is queued.
    """

    id: ShareId
    name: str
    spec: ShareSpec
    tenant: Tenant
    uid: int
    gid: int
    state: State
    created: datetime
    reason: str = ""
    decision: Decision | None = None
    holder: ProcessRef | None = None
    members: tuple[ProcessRef, ...] = ()
    started: datetime | None = None
    ended: datetime | None = None
    expires: datetime | None = None
    verified: Verification | None = None
    log: str | None = None
    suspension: Suspension | None = None
    moved: dict[Tier, Moved] = {}
    granted: datetime | None = None
    booking: Decision | None = None
    program: str = ""
    asked: ShareSpec | None = None
    escape: EscapePeriod | None = None
    proof: Proof | None = None
    kept: dict[GpuId, Bytes] = {}
    entered: tuple[Entered, ...] = ()
    spared: tuple[Spared, ...] = ()
    end: ProgramEnd | None = None
    peak: Bytes | None = None
    supervised: bool = False
    forget: bool = False
    waiter: ProcessRef | None = None
    damage: Damage | None = None

    @property
    def aside(self) -> bool:
        """Suspended otherwise than for a turn: others may have its room until it is back."""
        return self.suspension is not None and self.suspension.cause is not Cause.TURN
