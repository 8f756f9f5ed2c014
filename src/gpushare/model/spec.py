# SPDX-License-Identifier: Apache-2.0
"""The share spec: what a user requests."""

from datetime import datetime
from enum import StrEnum, unique

from .errors import BadSpecError
from .ids import GpuId, Tenant
from .units import FULL, MIB, Bytes, Percent, Seconds, format_bytes
from .value import Value

LONGEST_TTL = Seconds(3650 * 86400)  # ten years: later times do not fit a calendar
LARGEST_GANG = 256
_LAST_YEAR = 9000  # leaves room for a ttl and for any time zone within what a calendar can hold


@unique
class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


@unique
class Isolation(StrEnum):
    """The least a share accepts: each step includes the ones before it."""

    ANY = "any"  # whatever the machine has
    LIMITED = "limited"  # the memory limit holds for well-behaved programs
    STRONG = "strong"  # a tenant cannot escape the memory limit
    HARD = "hard"  # memory, compute and faults are partitioned in hardware, or the GPU is alone


@unique
class MechanismName(StrEnum):
    EXCLUSIVE = "exclusive"
    TIMESLICE = "timeslice"
    MPS = "mps"
    MIG = "mig"
    VGPU = "vgpu"
    DRIVER_LIMIT = "driver-limit"
    GUARD = "guard"

    @property
    def label(self) -> str:
        """As it is written in sentences."""
        return _LABELS.get(self.value, self.value)


_LABELS = {"mps": "MPS", "mig": "MIG", "vgpu": "vGPU"}


class MemoryAsk(Value):
    """Memory per GPU. Absent limit: the whole GPU. `share` is a percentage of the chosen GPU.

    `request` is what is guaranteed, all of the limit when absent; what lies between the two may be
    refused while others use it.
    """

    limit: Bytes | None = None
    request: Bytes | None = None
    share: Percent | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.share is not None:
            raise BadSpecError("memory is given twice", "as a size and as a percentage")
        if self.limit is not None and self.request is not None and self.request > self.limit:
            raise BadSpecError("the memory request is above the limit", "request ≤ limit")
        if (self.limit is not None and self.limit <= 0) or (self.request or 0) < 0:
            raise BadSpecError("memory must be above zero")
        if self.share is not None and not 1 <= self.share <= FULL:
            raise BadSpecError("memory in percent must be from 1 to 100")
        if self.limit is not None and self.limit < MIB:
            raise BadSpecError(
                f"no program could start with a memory limit of {format_bytes(self.limit)}",
                "a CUDA context alone costs hundreds of MiB, and the limit includes it",
                "write another size or unit: 8GiB, 512MiB",
            )


class ComputeAsk(Value):
    """Compute in percent of one GPU.

    `request` is what is guaranteed; absent, it is the limit where that is below 100, else nothing:
    a share without a compute limit takes what is left.
    """

    limit: Percent = FULL
    request: Percent | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= FULL:
            raise BadSpecError("the compute limit must be from 1 to 100 percent")
        if self.request is not None and not 0 <= self.request <= self.limit:
            raise BadSpecError("the compute request is above the limit", "request ≤ limit")

    @property
    def guaranteed(self) -> Percent:
        """Percent of one GPU; 0 for a share that takes what is left."""
        if self.request is not None:
            return self.request
        return self.limit if self.limit < FULL else Percent(0)


class Gang(Value):
    """Shares that are granted all at once or not at all."""

    name: str
    size: int

    def __post_init__(self) -> None:
        if not self.name or not 2 <= self.size <= LARGEST_GANG:
            raise BadSpecError(f"a gang has a name and from 2 to {LARGEST_GANG} shares")


class ShareSpec(Value):
    """Everything asked of one share; per GPU where `gpus` is above one.

    `turns`: it may be suspended so that others like it use the same GPU memory. `tenant`: for which
    of one's tenants; None: the first. `borrow` false: only what the tenant is guaranteed, and so
    never taken back. `at`: not before this time, and then for sure; needs a ttl. `near`, `apart`:
    labels of shares that must be, and must not be, on its GPUs. `select`: what its GPUs must be,
    `model=H200` or `memory>=40GiB`.
    """

    memory: MemoryAsk = MemoryAsk()
    compute: ComputeAsk = ComputeAsk()
    priority: Priority = Priority.NORMAL
    isolation: Isolation = Isolation.ANY
    gpus: int = 1
    gpu: tuple[str, ...] = ()  # selectors: UUIDs or indices; empty: any
    mechanism: MechanismName | None = None  # None: auto
    name: str | None = None
    ttl: Seconds | None = None
    labels: dict[str, str] = {}
    allow_unverified: bool = False
    turns: bool = False
    tenant: Tenant | None = None
    borrow: bool = True
    at: datetime | None = None
    gang: Gang | None = None
    near: dict[str, str] = {}
    apart: dict[str, str] = {}
    select: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.at is not None and (self.ttl is None or self.at.tzinfo is None):
            raise BadSpecError(
                "a reservation needs an end",
                "a time to begin is given without a ttl",
                "add --for 2h",
            )
        if self.at is not None and self.at.year > _LAST_YEAR:
            raise BadSpecError("the time to begin is too far away", f"it is in {self.at.year}")
        if self.at is not None and self.gang is not None:
            raise BadSpecError("a gang cannot be reserved", "its shares come one by one")
        if self.gpus < 1:
            raise BadSpecError("a share needs at least one GPU")
        if self.ttl is not None and not 0 < self.ttl <= LONGEST_TTL:
            raise BadSpecError("a share's ttl must be from one second to ten years")
        if self.gpu and len(self.gpu) < self.gpus:
            raise BadSpecError(f"{self.gpus} GPUs are asked for but only {len(self.gpu)} named")
        if self.turns and self.isolation is Isolation.HARD:
            raise BadSpecError(
                "a share cannot take turns and be isolated hard",
                "shares that take turns use the same GPU memory",
            )
        if self.turns and self.gpus > 1:
            raise BadSpecError(
                "a share that takes turns has one GPU",
                "shares of several GPUs could block each other",
            )
        if self.near and self.apart and self.apart.items() <= self.near.items():
            raise BadSpecError(
                "every share that it must be near is one that it must be apart from",
                "near and apart name the same labels",
                "leave out one of the two",
            )


class GpuGrant(Value):
    """One GPU of a share: what it may hold there. Memory in bytes, compute in percent."""

    gpu: GpuId
    limit: Bytes
    request: Bytes
    compute: Percent
    compute_request: Percent
