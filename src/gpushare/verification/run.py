# SPDX-License-Identifier: Apache-2.0
"""Runs the probe as a program of a share would run, and compares its report with the promise."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gpushare.delivery.host import environment
from gpushare.hardware.host import Host
from gpushare.hardware.mps.daemons import SHARE_VARIABLES
from gpushare.hardware.ports import Clock
from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Promise
from gpushare.model.share import Share, Verification
from gpushare.model.units import Bytes
from gpushare.model.verification import ProbeReport

from .arguments import probe_arguments
from .verdict import same_gpu, verdict_of


@dataclass(frozen=True)
class VerificationProbe:
    host: Host
    clock: Clock
    stack: Callable[[Share], Sequence[Promise]]
    environ: Callable[[], Mapping[str, str]] = lambda: os.environ

    def __call__(self, share: Share, edits: Edits, *, fill: bool) -> Verification:
        """`fill`: also measure, which needs a share and GPUs that are idle."""
        assert share.decision is not None
        gpus = {gpu.uuid: gpu for gpu in self.host.gpus.gpus()}
        stack = self.stack(share)
        run = self.host.probe.run(
            probe_arguments(share.decision, stack, fill=fill),
            environment(edits, self._inherited()),
            share.uid,
            share.gid,
            # In the share's group, as its programs are: the driver's limits and the rule about
            # device nodes apply to it.
            share.id if edits.cgroup else None,
        )
        return verdict_of(share.decision, stack, run, gpus, self.clock.now())

    def contexts(self) -> dict[GpuId, tuple[str, Bytes]]:
        """Driver and bytes of one CUDA context on each GPU, outside every share.

        Inside one it may be smaller: under MPS it shrinks with the multiprocessors (driver 580).
        """
        gpus = {gpu.uuid: gpu for gpu in self.host.gpus.gpus()}
        env, uid, gid = self._inherited(), os.geteuid(), os.getegid()
        ran = self.host.probe.run(("--context-only",), env, uid, gid, None)
        return _contexts(ran.report, gpus)

    def _inherited(self) -> dict[str, str]:
        """Without variables that would choose another GPU or region."""
        return {
            name: value for name, value in self.environ().items() if name not in SHARE_VARIABLES
        }


def _contexts(report: bytes, gpus: Mapping[GpuId, Gpu]) -> dict[GpuId, tuple[str, Bytes]]:
    try:
        devices = msgspec.json.decode(report or b"{}", type=ProbeReport).devices
    except msgspec.DecodeError:
        return {}
    return {
        gpu.uuid: (gpu.driver, device.context)
        for gpu in gpus.values()
        for device in devices
        if device.context and same_gpu(gpu.uuid, device.uuid)
    }
