# SPDX-License-Identifier: Apache-2.0
"""Runs the probe as a program of a share would run, and compares its report with the promise."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import msgspec

from gpushare.delivery.host import environment
from gpushare.hardware.host import Host
from gpushare.hardware.mps.daemons import SHARE_VARIABLES
from gpushare.hardware.ports import Clock, ProbeRun
from gpushare.mechanisms.mechanism import Rival
from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu
from gpushare.model.ids import GpuId
from gpushare.model.operations.scrub import ScrubReport
from gpushare.model.promise import Promise
from gpushare.model.share import Share, Verification
from gpushare.model.units import Bytes
from gpushare.model.verification import ProbeReport

from .arguments import probe_arguments, timed
from .outsider import Outsider, alone, in_use, locked
from .reading import same_gpu
from .scrub import scrub_report
from .verdict import decode, verdict_of

_LOOK = ("--context-only", "--no-escapes")
_WORK = (*_LOOK, "--compute")
_SCRUB_SECONDS = 55  # less than a probe may take


@dataclass(frozen=True)
class VerificationProbe:
    host: Host
    clock: Clock
    stack: Callable[[Share], Sequence[Promise]]
    environ: Callable[[], Mapping[str, str]] = lambda: os.environ
    rival: Callable[[Share], AbstractContextManager[Rival | None]] = lambda _: nullcontext()
    # GPUs of the user's other shares, which the share may open.
    peer_gpus: Callable[[Share], Collection[GpuId]] = lambda _: ()

    def __call__(self, share: Share, edits: Edits, *, fill: bool) -> Verification:
        """`fill`: also measure, which needs a share and GPUs that are idle."""
        assert share.decision is not None
        gpus = {gpu.uuid: gpu for gpu in self.host.gpus.gpus()}
        stack = self.stack(share)
        run = self._inside(share, edits, probe_arguments(share.decision, stack, fill=fill))
        contested = {}
        # The rival loads one GPU, and two contexts must be allowed there.
        alone_there = any(promise.one_process for promise in stack)
        if fill and timed(share.decision, stack) and len(share.decision.gpus) == 1:
            contested = {} if alone_there else self._contested(share, edits)
        outsider = Outsider()
        if alone(share.decision, stack, gpus):
            outsider = self._outsider(share, edits, decode(run)[0], gpus, idle=fill)
        return verdict_of(
            share.decision,
            stack,
            run,
            gpus,
            self.clock.now(),
            idle=fill,
            outsider=outsider,
            contested=contested,
            peer_gpus=self.peer_gpus(share),
        )

    def contexts(self) -> dict[GpuId, tuple[str, Bytes]]:
        """Driver and bytes of one CUDA context on each GPU, outside every share.

        Inside one it may be smaller: under MPS it shrinks with the multiprocessors (driver 580).
        """
        gpus = {gpu.uuid: gpu for gpu in self.host.gpus.gpus()}
        env, uid, gid = self._inherited(), os.geteuid(), os.getegid()
        ran = self.host.probe.run(("--context-only",), env, uid, gid, None)
        return _contexts(ran.report, gpus)

    def scrub(self, gpu: GpuId, size: Bytes) -> ScrubReport:
        """Fill so much free memory of the GPU with zeros and read it back, outside every share."""
        env = {**self._inherited(), "CUDA_VISIBLE_DEVICES": gpu}
        arguments = ("--scrub", f"--bytes={size}", f"--timeout={_SCRUB_SECONDS}")
        ran = self.host.probe.run(arguments, env, os.geteuid(), os.getegid(), None)
        return scrub_report(ran.report, ran.failure)

    def _inside(self, share: Share, edits: Edits, arguments: Sequence[str]) -> ProbeRun:
        return self.host.probe.run(arguments, *self._identity(share, edits))

    def _identity(self, share: Share, edits: Edits) -> tuple[dict[str, str], int, int, str | None]:
        """Environment, uid, gid and control group of the share's programs.

        In the share's group, because the driver's limits and the rule about device nodes apply to
        it.
        """
        env = environment(edits, self._inherited())
        return env, share.uid, share.gid, share.id if edits.cgroup else None

    def _contested(self, share: Share, edits: Edits) -> dict[GpuId, float]:
        """What the share gets of each GPU's time next to a program that wants all of it, in percent
        of the time that it wants; a GPU without an answer is one where that could not be tried."""
        assert share.decision is not None
        with self.rival(share) as rival:
            if rival is None:
                return {}
            who = self._identity(share, edits | rival.edits)
            with self.host.probe.hold((*_LOOK, "--load"), *who) as loading:
                if decode(loading)[1]:
                    return {}
                self._inside(share, edits, _WORK)
                given = {gpu: rival.given(gpu) for gpu in share.decision.gpus}
        return {gpu: percent for gpu, percent in given.items() if percent is not None}

    def _outsider(
        self,
        share: Share,
        edits: Edits,
        report: ProbeReport,
        gpus: Mapping[GpuId, Gpu],
        *,
        idle: bool,
    ) -> Outsider:
        assert share.decision is not None
        if in_use(report, share.decision):
            return self._intrude(share)
        if locked(share.decision, gpus):
            with self.host.probe.hold(_LOOK, *self._identity(share, edits)):
                return self._intrude(share)
        # Nothing refuses it, so its context would take memory from the share's programs.
        if not idle:
            return Outsider(admitted=True)
        return self._intrude(share)

    def _intrude(self, share: Share) -> Outsider:
        assert share.decision is not None
        env = {**self._inherited(), "CUDA_VISIBLE_DEVICES": ",".join(share.decision.gpus)}
        run = self.host.probe.run(_LOOK, env, share.uid, share.gid, None)
        report, failure = decode(run)
        return Outsider(because=failure) if failure else Outsider(view=report)

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
