# SPDX-License-Identifier: Apache-2.0
"""GPUs as they are found, and what a machine can do with them."""

from enum import StrEnum, unique

from .ids import GpuId
from .spec import MechanismName
from .units import Bytes, Percent
from .value import Value


@unique
class ComputeMode(StrEnum):
    DEFAULT = "default"
    EXCLUSIVE_PROCESS = "exclusive-process"
    PROHIBITED = "prohibited"


class GpuHealth(Value):
    """`lost`: NVML no longer reaches it. `xids`: newest last. `ecc`: uncorrected, volatile."""

    lost: bool = False
    xids: tuple[int, ...] = ()
    ecc: int = 0


class GpuProcess(Value):
    """A process as NVML lists it; memory is None where the driver does not say."""

    pid: int
    memory: Bytes | None = None


class Gpu(Value):
    """One physical device or MIG instance. Memory in bytes as NVML reports it."""

    uuid: GpuId
    index: int
    name: str
    memory_total: Bytes
    memory_reserved: Bytes = Bytes(0)
    memory_used: Bytes = Bytes(0)
    utilisation: Percent | None = None
    sm_count: int | None = None
    compute_capability: tuple[int, int] | None = None
    compute_mode: ComputeMode = ComputeMode.DEFAULT
    driver: str = ""
    pci: str = ""
    numa: int | None = None
    cpus: tuple[int, ...] = ()  # close to it; empty where the kernel does not say
    minor: int | None = None  # of its device node
    parent: GpuId | None = None  # the physical GPU of a MIG instance
    mig_enabled: bool = False
    health: GpuHealth = GpuHealth()
    processes: tuple[GpuProcess, ...] = ()
    lists_processes: bool = True  # false: the driver does not say who uses it
    simulated: bool = False

    @property
    def usable(self) -> Bytes:
        """Memory that shares may be granted: the card less what the driver keeps."""
        return Bytes(self.memory_total - self.memory_reserved)


class Capability(Value):
    """Whether a mechanism works here, and if not, why."""

    mechanism: MechanismName
    available: bool
    reason: str = ""


class Machine(Value):
    """What the scheduler may know of the machine: a snapshot, no handles."""

    gpus: tuple[Gpu, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    context: dict[GpuId, Bytes] = {}  # measured cost of one CUDA context
    links: dict[GpuId, dict[GpuId, str]] = {}  # topology: NV#, PIX, PXB, PHB, NODE, SYS

    def has(self, mechanism: MechanismName) -> bool:
        """Whether the mechanism works on this machine."""
        return any(c.available for c in self.capabilities if c.mechanism is mechanism)

    def why_not(self, mechanism: MechanismName) -> str:
        """Why it does not work; empty where it does."""
        reasons = (c.reason for c in self.capabilities if c.mechanism is mechanism)
        return next(reasons, "this machine has no such mechanism")
