# SPDX-License-Identifier: Apache-2.0
"""The ports of the hardware room: what the rest of gpushare may ask of the machine.

Nothing else touches NVML, /proc, control groups or MPS. Every method raises errors of
`model.errors` only; what the machine merely cannot do is a Capability with a reason, not an error.
"""

from .activity import Activity
from .cgroups import Cgroups
from .checkpoints import Checkpoints, CheckpointState
from .clock import Clock
from .devices import Devices
from .gpus import ComputeModes, Driver, Gpus, Xid
from .host_memory import HostMemory
from .memory_limits import MemoryLimit, MemoryLimits
from .mps import Mps, MpsClient, MpsControl, MpsPlace, MpsServer, MpsState
from .probe import Probe, ProbeRun
from .processes import Processes

__all__ = [
    "Activity",
    "Cgroups",
    "CheckpointState",
    "Checkpoints",
    "Clock",
    "ComputeModes",
    "Devices",
    "Driver",
    "Gpus",
    "HostMemory",
    "MemoryLimit",
    "MemoryLimits",
    "Mps",
    "MpsClient",
    "MpsControl",
    "MpsPlace",
    "MpsServer",
    "MpsState",
    "Probe",
    "ProbeRun",
    "Processes",
    "Xid",
]
