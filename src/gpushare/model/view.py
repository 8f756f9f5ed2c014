# SPDX-License-Identifier: Apache-2.0
"""What the API shows: the JSON of `/v1` and of `-o json`. Memory in bytes, compute in percent."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from .errors import BadSpecError
from .escape import EscapeCause, EscapePeriod
from .gpu import Capability, Confidential, GpuHealth, GpuProcess
from .ids import GpuId, ShareId, Tenant
from .operations.cordon import Cordon
from .operations.lifetime import Lifetime
from .scheduling import SchedulingView
from .share import (
    Decision,
    Enforcement,
    Moved,
    Proof,
    Spared,
    State,
    Suspension,
    Tier,
    Verification,
)
from .spec import (
    LONGEST_TTL,
    ComputeAsk,
    Isolation,
    MechanismName,
    MemoryAsk,
    Priority,
    ShareSpec,
)
from .state.program_end import ProgramEnd
from .units import Bytes, Percent, Seconds
from .value import Value

MOVE_SECONDS, LONGEST_MOVE = Seconds(60), 3600


class MemoryView(Value):
    """Over all GPUs of the share. None: not known, which is not zero.

    `uncounted`: of `used`, what the driver counts for the share's processes and the guard does not.
    """

    request: Bytes | None
    limit: Bytes | None
    used: Bytes | None = None
    peak: Bytes | None = None
    cached: Bytes | None = None  # of `used`: freed by programs, kept for them
    uncounted: Bytes | None = None


class ComputeView(Value):
    request: Percent | None
    limit: Percent | None
    delivered: Percent | None


class QueueView(Value):
    position: int
    waits_for: str
    eta: datetime | None = None


class GateView(Value):
    """Deprecated: what `scheduling` shows, under the former names."""

    rank: Priority
    waits: int
    waited: float
    longest_launch: float
    busy: float
    turns: int
    wanted: float
    throttled: float
    overrun: float
    quantum: float
    fences: int
    floors: int
    raises: int
    raised: float
    grace: float
    stuck: int
    slice: float


class MigratableView(Value):
    """Whether the share could move to another GPU now, room aside; if not, why."""

    yes: bool
    because: str = ""


class SuspendableView(Value):
    """Whether the share's memory could leave the GPU now, and if not, why.

    `memory`: bytes that would leave. `unready`: of them, those for which no host memory is ready
    yet, so that suspending takes longer. None: not known.
    """

    yes: bool
    because: str = ""
    memory: Bytes | None = None
    unready: Bytes | None = None


class MoveView(Value):
    """A suspend or resume in progress: bytes that have moved, of how many."""

    way: Literal["out", "back"]
    moved: Bytes
    total: Bytes


class GuardView(Value):
    """Calls of the share's programs that the guard saw and did not limit, since the share began.

    `unlisted`: allocations and contexts on GPUs that are not the share's. `unhooked`: CUDA
    functions that programs got past the guard, or in a version that it does not know. Programs can
    write both. `former`: programs run under the guard of an earlier gpushare; none can start.
    """

    unlisted: int
    unhooked: int
    former: bool = False


class ShareView(Value):
    """`ref`: what the caller writes to mean the share: its name, USER/NAME, or its id."""

    id: ShareId
    name: str
    tenant: Tenant
    user: str
    state: State
    priority: Priority
    isolation: Isolation
    mechanism: tuple[MechanismName, ...]
    gpus: tuple[GpuId, ...]
    memory: MemoryView
    compute: ComputeView
    enforcement: Enforcement
    verified: Verification | None
    pids: tuple[int, ...]
    created: datetime
    started: datetime | None
    expires: datetime | None
    reason: str
    queue: QueueView | None
    simulated: bool
    why: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()
    log: str | None = None
    turns: bool = False
    suspendable: SuspendableView | None = None
    migratable: MigratableView | None = None
    suspension: Suspension | None = None
    moved: dict[Tier, Moved] = {}
    scheduling: SchedulingView | None = None
    gate: GateView | None = None  # deprecated: use `scheduling`
    idle_since: datetime | None = None  # it has used no GPU time since then
    asked: ShareSpec | None = None  # where a policy has changed what was asked
    begins: datetime | None = None  # a reservation that waits for its time
    borrowed: bool | None = None  # beyond what its tenant is guaranteed; None: there are no tenants
    ref: str = ""
    promised: Enforcement | None = None  # the levels of `enforcement` while no limit is escaped
    escape: EscapePeriod | None = None  # the newest time in which limits did not hold
    proof: Proof | None = None  # the newest look at what its limits depend on
    guard: GuardView | None = None  # None: it has no guard
    fault: str = ""  # what is wrong with one of its mechanisms now
    spared: tuple[Spared, ...] = ()  # processes that were not ended with the share
    ended: datetime | None = None  # when the share was released or failed
    end: ProgramEnd | None = None  # how its program ended
    releasing: bool = False  # its end has begun; clearing its GPU memory may take a while
    move: MoveView | None = None  # its memory leaves the GPU or returns now
    output: str | None = None  # its last lines, for its owner: in `show` and `wait` only


class GpuMemoryView(Value):
    """`granted` is the sum of guaranteed limits; `used` is what NVML sees."""

    total: Bytes
    reserved: Bytes
    granted: Bytes
    used: Bytes


class GpuComputeView(Value):
    granted: Percent
    used: Percent | None


class GpuView(Value):
    uuid: GpuId
    index: int
    name: str
    memory: GpuMemoryView
    compute: GpuComputeView
    mechanisms: tuple[Capability, ...]
    mig: tuple[GpuId, ...]
    topology: dict[GpuId, str]
    health: GpuHealth
    driver: str
    processes: tuple[GpuProcess, ...]
    simulated: bool
    escapes: tuple[EscapeCause, ...] = ()  # of shares whose limits do not hold on it now
    trouble: str = ""  # what is wrong with its MPS daemon now
    confidential: Confidential | None = None  # confidential computing; None: not known
    cordons: tuple[Cordon, ...] = ()  # why no new share is placed on it, people's first


class ShareList(Value):
    items: tuple[ShareView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class GpuList(Value):
    items: tuple[GpuView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815


class CreateRequest(Value):
    """`holder`: the pid whose life bounds the share; None holds it until rm or ttl.

    `wait` false: answer GS1702 instead of queueing. `supervised`: the parent of the holder reports
    how it ended. `forget`: remember nothing of the share once it has ended. `waiter`: the pid whose
    end withdraws the share while it is queued, where nothing holds it later.
    """

    spec: ShareSpec
    holder: int | None = None
    wait: bool = True
    program: str = ""  # names the share when the spec does not
    log: str | None = None
    supervised: bool = False
    forget: bool = False
    waiter: int | None = None


class EnterRequest(Value):
    """Make a process of the caller a member of the share.

    `preload`: the LD_PRELOAD that the process has; the share's own goes before it.
    """

    pid: int
    preload: str = ""


class SuspendRequest(Value):
    """`deep`: by the driver's checkpoint, contexts too. `timeout`: seconds until it is given up."""

    deep: bool = False
    timeout: Annotated[Seconds, Meta(ge=1, le=LONGEST_MOVE)] = MOVE_SECONDS


class ResumeRequest(Value):
    timeout: Annotated[Seconds, Meta(ge=1, le=LONGEST_MOVE)] = MOVE_SECONDS


class MigrateRequest(Value):
    """`to`: GPUs by index or UUID, as many as the share has; none: the best. `timeout`: seconds
    until it is given up."""

    to: tuple[str, ...] = ()
    timeout: Annotated[Seconds, Meta(ge=1, le=LONGEST_MOVE)] = MOVE_SECONDS


class UpdateRequest(Value):
    """What changes about a share that lives; None: stays. `ttl` counts from now."""

    memory: MemoryAsk | None = None
    compute: ComputeAsk | None = None
    priority: Priority | None = None
    ttl: Seconds | None = None

    def __post_init__(self) -> None:
        if self.ttl is not None and not 0 < self.ttl <= LONGEST_TTL:
            raise BadSpecError("a share's ttl must be from one second to ten years")


class Entry(Value):
    """What a process must do to itself before it becomes the program.

    `cpus`, `numa`: what is close to its GPUs; empty where the machine does not say.
    """

    share: ShareId
    env: dict[str, str]
    unset: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()
    numa: tuple[int, ...] = ()


class Plan(Value):
    """What would happen now: the answer to a dry run."""

    decision: Decision | None
    waits_for: str = ""
    simulated: bool = False


class DecisionView(Value):
    """A decision and what the same question gets today. `shares` held GPUs then, `ahead` of it in
    the queue were so many; `again` says the new answer, which `same` compares."""

    share: str
    at: datetime
    decision: Decision
    same: bool
    again: str
    shares: tuple[str, ...]
    ahead: int


class VersionView(Value):
    """`notices`: what the daemon found wrong with its state when it started; for operators."""

    version: str
    api: str = "v1"
    driver: str = ""
    pid: int = 0
    lifetime: Lifetime = Lifetime.UNTIL_STOPPED
    notices: tuple[str, ...] = ()
