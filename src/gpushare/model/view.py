# SPDX-License-Identifier: Apache-2.0
"""What the API shows: the JSON of `/v1` and of `-o json`. Memory in bytes, compute in percent."""

from datetime import datetime
from typing import Literal

from .gpu import Capability, GpuHealth, GpuProcess
from .ids import GpuId, ShareId, Tenant
from .share import Decision, Enforcement, State, Verification
from .spec import Isolation, MechanismName, Priority, ShareSpec
from .units import Bytes, Percent
from .value import Value


class MemoryView(Value):
    """Over all GPUs of the share. None: not known, which is not zero."""

    request: Bytes | None
    limit: Bytes | None
    used: Bytes | None
    peak: Bytes | None


class ComputeView(Value):
    request: Percent | None
    limit: Percent | None
    delivered: Percent | None


class QueueView(Value):
    position: int
    waits_for: str
    eta: datetime | None = None


class ShareView(Value):
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


class ShareList(Value):
    items: tuple[ShareView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class GpuList(Value):
    items: tuple[GpuView, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815


class CreateRequest(Value):
    """`holder`: the pid whose life bounds the share; None holds it until rm or ttl.

    `wait` false: answer GS1702 instead of queueing.
    """

    spec: ShareSpec
    holder: int | None = None
    wait: bool = True
    program: str = ""  # names the share when the spec does not
    log: str | None = None


class EnterRequest(Value):
    """Make a process of the caller a member of the share.

    `preload`: the LD_PRELOAD that the process has; the share's own goes before it.
    """

    pid: int
    preload: str = ""


class Entry(Value):
    """What a process must do to itself before it becomes the program."""

    share: ShareId
    env: dict[str, str]
    unset: tuple[str, ...] = ()


class Plan(Value):
    """What would happen now: the answer to a dry run."""

    decision: Decision | None
    waits_for: str = ""
    simulated: bool = False


class VersionView(Value):
    version: str
    api: str = "v1"
    driver: str = ""
    pid: int = 0
