# SPDX-License-Identifier: Apache-2.0
"""Keeps the processes of a share from opening the device nodes of GPUs that are not theirs.

On cgroup v2 by a BPF program on the share's group, on v1 by the `devices` controller. Both hold for
whatever a process does to its environment, and for its children.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from gpushare.model.errors import CgroupError, HardwareError
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId

from . import bpf
from .cgroups import FsCgroups
from .device_rules import denials, program


class CgroupDevices:
    """Implements the Devices port. `gpus`: as they were last seen; asked often."""

    def __init__(self, cgroups: FsCgroups, gpus: Callable[[], Sequence[Gpu]]) -> None:
        self._cgroups, self._gpus = cgroups, gpus
        self._refused: str | None = None

    def reason(self) -> str:
        """Of the GPUs each time, for they may be split; of the kernel once."""
        try:
            because = unconfinable(self._gpus())
        except HardwareError as error:
            return str(error)
        if because:
            return because
        if self._refused is None:
            self._refused = self._cgroups.reason() or self._trial()
        return self._refused

    def confine(self, name: str, gpus: Collection[GpuId]) -> None:
        """Raises CgroupError."""
        minors = [g.minor for g in self._gpus() if g.uuid in gpus and g.minor is not None]
        group = self._cgroups.folder(name)
        try:
            self._apply(group, minors)
        except OSError as error:
            raise CgroupError(
                f"cannot keep share {name} from the GPUs of others",
                f"{group}: {error.strerror}",
                "see what stands against it: gpushare gpus -o wide",
            ) from error

    def in_force(self, name: str) -> bool | None:
        # The files of version 1 do not tell a rule that was set from one that was inherited.
        if self._cgroups.version == 1:
            return None
        try:
            return bpf.filtered(self._cgroups.folder(name))
        except OSError:
            return None

    def _apply(self, group: Path, minors: Sequence[int]) -> None:
        if self._cgroups.version == 1:
            for file, rule in denials(minors):
                (group / file).write_text(rule)
            return
        filter_ = bpf.load(program(minors))
        try:
            bpf.attach(group, filter_)
        finally:
            # The attachment keeps the program loaded.
            os.close(filter_)

    def _trial(self) -> str:
        """Whether the kernel allows it, tried on an empty group."""
        if self._cgroups.version == 1 and not self._cgroups.controls("devices"):
            return "the devices controller is not mounted"
        name = f"trial-devices-{os.getpid()}"
        try:
            self._cgroups.create(name)
            self._apply(self._cgroups.folder(name), ())
        except (OSError, CgroupError) as error:
            return f"the kernel refuses a device filter: {getattr(error, 'strerror', error)}"
        finally:
            with contextlib.suppress(OSError):
                self._cgroups.remove(name)
        return ""


def unconfinable(gpus: Sequence[Gpu]) -> str:
    """What about the GPUs stands against it; "" for nothing."""
    if any(gpu.simulated for gpu in gpus):
        return "simulated GPUs have no device nodes"
    if any(gpu.mig_enabled for gpu in gpus):
        return "instances of one GPU share its device node"
    if any(gpu.minor is None for gpu in gpus):
        return "the driver does not tell the numbers of its device nodes"
    return ""
