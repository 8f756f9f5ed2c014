# SPDX-License-Identifier: Apache-2.0
"""The ports of the hardware room: what the rest of gpushare may ask of the machine.

Model: one Protocol per thing on the machine (GPUs, processes, control groups, MPS daemons, host
memory, device nodes, the driver's memory limits and checkpoints, the probe, the clock), each with a
handful of methods. The implementations are in `linux`, `nvidia` and `mps`; `Host` opens them once.
The simulated machine has no ports of its own: it replaces the driver's libraries below them.

Invariants:
- Nothing else touches NVML, /proc, control groups or MPS.
- Methods raise errors of `model.errors` only. What the machine cannot do at all is a Capability
  with a reason, or a method `reason()`; it is not an error.
- What the driver does not report is None, never zero.
- A process is a pid and its start time, so that a later process of the same pid is never meant.
- Calls may block; the daemon calls them in a thread.
"""

from .activity import Activity
from .cgroups import Cgroups
from .checkpoints import Checkpoints, CheckpointState
from .clock import Clock
from .devices import Devices
from .gpus import ComputeModes, Driver, Gpus, Xid
from .host_memory import HostMemory
from .memory_limits import MemoryLimit, MemoryLimits
from .mps import Gpus as MpsGpus
from .mps import Mps, MpsClient, MpsControl, MpsPlace, MpsServer, MpsState, home_of
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
    "MpsGpus",
    "MpsPlace",
    "MpsServer",
    "MpsState",
    "Probe",
    "ProbeRun",
    "Processes",
    "Xid",
    "home_of",
]
