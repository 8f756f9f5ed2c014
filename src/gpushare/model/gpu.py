# SPDX-License-Identifier: Apache-2.0
"""GPUs as they are found, and what a machine can do with them."""

from enum import StrEnum, unique

from msgspec.structs import replace

from .ids import GpuId
from .operations.cordon import Cordon
from .spec import MechanismName
from .units import Bytes, Percent
from .value import Value


@unique
class ComputeMode(StrEnum):
    DEFAULT = "default"
    EXCLUSIVE_PROCESS = "exclusive-process"
    PROHIBITED = "prohibited"


@unique
class Confidential(StrEnum):
    """Confidential computing: `devtools` is on, but open to debuggers, so it protects nothing."""

    OFF = "off"
    ON = "on"
    DEVTOOLS = "devtools"


# What NVML names as the next step (nvmlDeviceGetFieldValues, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION).
_ACTIONS = {
    1: "needs a reset",
    2: "needs a reboot of the machine",
    3: "needs its peer-to-peer work to end",
    4: "needs to be emptied and reset",
    5: "needs its IMEX domain recovered",
    6: "needs a reset of its bus",
    7: "needs a reboot of the machine",
}
# After them the GPU is not sound until it is reset (NVIDIA's Xid catalogue). Errors that programs
# cause (13, 31, 43, 45, 69) or that end one program (94) are not among them. 79 is a lost GPU.
_NEED_RESET = frozenset({46, 62, 64, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158})


class GpuHealth(Value):
    """`lost`: NVML no longer reaches it. `xids`: newest last. `ecc`: uncorrected, volatile.

    `recovery`: the recovery action that NVML names; 0 is none, None where the driver has no such
    field.
    """

    lost: bool = False
    xids: tuple[int, ...] = ()
    ecc: int = 0
    recovery: int | None = None

    @property
    def withheld(self) -> str:
        """Why the GPU is not sound, as `needs a reset (Xid 140)`; "" if it is."""
        if self.lost:
            return "is lost"
        if self.recovery:
            action = _ACTIONS.get(self.recovery, f"needs recovery action {self.recovery}")
            return f"{action}, the driver reports"
        grave = [xid for xid in self.xids if xid in _NEED_RESET]
        return f"needs a reset (Xid {grave[-1]})" if grave else ""


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
    confidential: Confidential | None = None  # None: the driver does not say
    cordons: tuple[Cordon, ...] = ()  # people's before the daemon's

    @property
    def usable(self) -> Bytes:
        """Memory that shares may be granted: the card less what the driver keeps."""
        return Bytes(self.memory_total - self.memory_reserved)

    @property
    def unusable(self) -> str:
        """Why no share could be placed on it if it were sound; "" if one could."""
        if self.mig_enabled and self.parent is None:
            return f"GPU {self.index} is split by MIG; its instances are shared instead"
        if self.compute_mode is ComputeMode.PROHIBITED:
            return f"GPU {self.index} is in compute mode prohibited{self._reopen}"
        return ""

    @property
    def withheld(self) -> str:
        """Why no new share may be placed on it although it has room; "" if one may.

        As `is cordoned by ada: new fan` or `needs a reset (Xid 140)`.
        """
        sick = self.health.withheld
        by_people = [cordon for cordon in self.cordons if not cordon.automatic]
        if by_people and not self.health.lost:
            return by_people[0].text
        if sick and self.cordons and not self.health.lost:
            return f"{sick}, and is cordoned automatically"
        return sick or (self.cordons[0].text if self.cordons else "")

    @property
    def closed(self) -> str:
        """Why no share can be placed on it now; "" if one can."""
        withheld = f"GPU {self.index} {self.withheld}" if self.withheld else ""
        return self.unusable or withheld

    @property
    def admits_one(self) -> str:
        """Why programs cannot take turns on it; "" if they can."""
        if self.compute_mode is not ComputeMode.EXCLUSIVE_PROCESS:
            return ""
        mode = "compute mode exclusive-process, which admits one process"
        return f"GPU {self.index} is in {mode}{self._reopen}"

    @property
    def _reopen(self) -> str:
        return f" (to change it: nvidia-smi -i {self.index} -c DEFAULT)"


class Capability(Value):
    """Whether a mechanism works here, and if not, why.

    `one_process`: it also works on a GPU in compute mode exclusive-process.
    """

    mechanism: MechanismName
    available: bool
    reason: str = ""
    one_process: bool = True


class Machine(Value):
    """What the scheduler may know of the machine: a snapshot, no handles."""

    gpus: tuple[Gpu, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    context: dict[GpuId, Bytes] = {}  # measured cost of one CUDA context
    links: dict[GpuId, dict[GpuId, str]] = {}  # topology: NV#, PIX, PXB, PHB, NODE, SYS

    def offered(self, gpu: Gpu) -> tuple[Capability, ...]:
        """What works on this GPU as it is now, and why not the rest."""
        return tuple(self._on(gpu, capability) for capability in self.capabilities)

    def _on(self, gpu: Gpu, capability: Capability) -> Capability:
        why = gpu.closed or ("" if capability.one_process else gpu.admits_one)
        if not why or not capability.available:
            return capability
        return replace(capability, available=False, reason=why)

    def has(self, mechanism: MechanismName) -> bool:
        """Whether the mechanism works on this machine."""
        return any(c.available for c in self.capabilities if c.mechanism is mechanism)

    def why_not(self, mechanism: MechanismName) -> str:
        """Why it does not work; empty where it does."""
        reasons = (c.reason for c in self.capabilities if c.mechanism is mechanism)
        return next(reasons, "this machine has no such mechanism")
