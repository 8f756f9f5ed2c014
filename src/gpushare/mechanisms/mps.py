# SPDX-License-Identifier: Apache-2.0
"""Programs run at the same time through one MPS daemon per GPU (NVIDIA MPS docs, r615).

A client has one pipe directory, hence one daemon. So a share of several GPUs has a daemon for
exactly these GPUs, together with other shares of the same ones; to the daemons of single GPUs its
server is one more process, which takes turns with theirs (ADR 0042).
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from gpushare.hardware.ports import Mps, MpsControl, MpsGpus, MpsState
from gpushare.model.edits import Edits
from gpushare.model.errors import MpsError
from gpushare.model.gpu import Confidential, Gpu
from gpushare.model.ids import GpuId
from gpushare.model.promise import Claim, FaultDomain, Need, Promise, Use, adjustable, stack_of
from gpushare.model.share import Level, Share
from gpushare.model.spec import GpuGrant, MechanismName, Priority
from gpushare.model.units import FULL, MIB

from .mechanism import Observation, PassiveMechanism
from .visible_devices import GUARD_VARIABLES, HIDDEN, MPS_VARIABLES, visible

_OLDEST = (7, 0)  # Volta: the first with an address space per client
_LOOK_EVERY = 5.0  # seconds; a look starts the control tool


class MpsMechanism(PassiveMechanism):
    """Limits travel in the environment: a program that runs keeps what it started with."""

    promise = Promise(
        mechanism=MechanismName.MPS,
        memory=Claim(
            but="MPS limits memory per process and in the program's own environment: several "
            "processes can exceed it together, and a changed variable drops it."
        ),
        compute=Claim(
            level=Level.COOPERATIVE,
            but="The compute limit is a ceiling on multiprocessors, in the steps the GPU allows; "
            "cache and memory bandwidth stay shared, and a program that leaves MPS escapes it.",
        ),
        fault=Claim(
            but="One fatal GPU fault ends every program under MPS on the same GPU; where a share "
            "has several GPUs, on all of them."
        ),
        devices=HIDDEN,
        also=(
            "Programs that run at the same time can observe each other through caches.",
            "The driver cannot checkpoint programs under MPS.",
        ),
        one_user=True,
        uses=(
            Use(
                need=Need.PRIORITY,
                layered=False,
                why="without the guard only MPS supports priority {priority}",
            ),
            Use(
                need=Need.COMPUTE,
                layered=True,
                # The guard holds it without MPS too, and so a fault stays on one GPU.
                max_gpus=1,
                why="with a compute limit of {compute} % programs run at the same time",
            ),
            Use(
                need=Need.COMPUTE,
                layered=False,
                why="only MPS holds a compute limit of {compute} %",
            ),
            Use(
                need=Need.MODE,
                why="the compute mode exclusive-process admits one process, here that of MPS",
            ),
        ),
        fault_domain=FaultDomain.GPU,
        checkpointable=False,
        served=True,
    )

    def __init__(
        self,
        mps: Mps,
        clock: Callable[[], float] = time.monotonic,
        layers: Sequence[Promise] = (),
    ) -> None:
        self._mps, self._clock, self._layers = mps, clock, layers
        self._seen: dict[MpsGpus, tuple[float, Observation]] = {}

    def unavailable(self, gpus: Sequence[Gpu]) -> str:
        """MPS needs its control program, and Volta or newer GPUs."""
        if self._mps.binary() is None:
            return "nvidia-cuda-mps-control is not on PATH"
        if any(gpu.confidential in {Confidential.ON, Confidential.DEVTOOLS} for gpu in gpus):
            return (
                "confidential computing is on, and one MPS server would see the data of all its "
                "programs unencrypted"
            )
        old = (g for g in gpus if g.compute_capability and g.compute_capability < _OLDEST)
        return next((f"{gpu.name} is older than Volta" for gpu in old), "")

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        """Start the MPS daemon of the share's GPUs if the share is its first; raises MpsError."""
        place = self._mps.acquire(tuple(grant.gpu for grant in grants), share.id)
        edits = visible(grants)
        mine = {
            "CUDA_MPS_PIPE_DIRECTORY": str(place.pipe),
            **limits(grants, share.spec.priority, layers=self._on(share)),
        }
        unset = tuple(name for name in MPS_VARIABLES if name not in mine)
        return Edits(env={**edits.env, **mine}, unset=(*unset, *GUARD_VARIABLES))

    def _on(self, share: Share) -> tuple[Promise, ...]:
        """The layers on MPS in the share's stack."""
        return stack_of(self._layers, share.decision.mechanisms[1:] if share.decision else ())

    def drain(self, share: Share, pids: Sequence[int]) -> None:
        """Killing a client with work in flight can block the server for all others.

        A daemon that is dead or stuck runs no work, so its errors are ignored.
        """
        with suppress(MpsError):
            control = self._mps.control(_gpus(share))
            for client in control.clients():
                if client.pid in pids:
                    control.terminate(client)

    def release(self, share: Share) -> None:
        """A daemon ends with its last share."""
        gpus = _gpus(share)
        self._mps.release(gpus, share.id)
        if not self._mps.holders().get(gpus):
            self._seen.pop(gpus, None)

    def observe(self, share: Share) -> Observation:
        """Whether the MPS server has failed, at most 5 s ago.

        No memory, which MPS does not report.
        """
        return self._look(_gpus(share))

    def mend(self) -> tuple[str, ...]:
        """Ends daemons without shares, and restarts those that failed and have no clients."""
        homes = self._mps.holders()
        # At the same time, so that daemons that do not answer take no longer than one of them.
        with ThreadPoolExecutor(max(1, len(homes))) as threads:
            done = threads.map(self._mend, homes, homes.values())
        return tuple(it for it in done if it)

    def _mend(self, gpus: MpsGpus, holders: Sequence[str]) -> str:
        if not holders:
            self._mps.release(gpus, None)
            return f"stopped the MPS daemon of {', '.join(gpus)}, which no share uses"
        if why := self._restartable(gpus):
            self._mps.restart(gpus)
            self._seen.pop(gpus, None)
            return f"restarted the MPS daemon of {', '.join(gpus)}: {why}"
        return ""

    def trouble(self, gpu: GpuId) -> str:
        """Whether a daemon of the GPU is gone, else what the newest look has found."""
        held = (gpus for gpus, holders in self._mps.holders().items() if gpu in gpus and holders)
        troubles = (self._gone(gpus) or self._fault(gpus) for gpus in held)
        return "; ".join(filter(None, troubles))

    def unready(self, gpu: GpuId) -> str:
        """A server in FAULT fails new clients until its present ones have left, and programs hang
        where no daemon answers. One that is gone is started again for the next share."""
        seen = (self._fault(gpus) for gpus in tuple(self._seen) if gpu in gpus)
        return next(filter(None, seen), "")

    def _fault(self, gpus: MpsGpus) -> str:
        return self._seen.get(gpus, (0.0, Observation()))[1].fault

    def _gone(self, gpus: MpsGpus) -> str:
        """Costs a look at /proc only, so it is never older than now."""
        try:
            self._mps.control(gpus)
        except MpsError as error:
            return str(error)
        return ""

    def _look(self, gpus: MpsGpus) -> Observation:
        if gone := self._gone(gpus):
            return Observation(fault=gone)
        at, observation = self._seen.get(gpus, (-_LOOK_EVERY, Observation()))
        if self._clock() - at >= _LOOK_EVERY:
            observation = self._diagnose(gpus)
            self._seen[gpus] = (self._clock(), observation)
        return observation

    def _diagnose(self, gpus: MpsGpus) -> Observation:
        try:
            control = self._mps.control(gpus)
            faulty = _faulty(control)
        except MpsError as error:
            return Observation(fault=str(error))
        if not faulty:
            return Observation()
        blamed = control.blame()
        named = f"; its log names {', '.join(map(str, blamed))}" if blamed else ""
        return Observation(
            fault=f"the MPS server of {', '.join(gpus)} is in FAULT{named}", blamed=blamed
        )

    def _restartable(self, gpus: MpsGpus) -> str:
        """Why the daemon needs a restart and no client prevents it; "" when not."""
        try:
            control = self._mps.control(gpus)
            # A server in FAULT refuses new clients until the last affected one has left (NVIDIA
            # MPS, release 615); a restart before that would end programs that still run.
            if not _faulty(control) or control.clients():
                return ""
        except MpsError as error:
            # A daemon that is only slow is asked again in the next pass; one that is dead is
            # started again.
            return "" if error.retryable else error.because
        return "its server was in FAULT and its last client is gone"


def limits(
    grants: Sequence[GpuGrant], priority: Priority, *, layers: Sequence[Promise] = ()
) -> dict[str, str]:
    """What the client side of MPS reads, once, when a program starts.

    So what a layer holds is left to the layer, which can change it while programs run. The devices
    of the share and no other: an entry for a device the client does not see drops every limit
    without an error (measured on driver 580). Compute is one percentage for all devices.
    """
    variables = {}
    if not layers:
        sizes = (f"{at}={max(1, grant.limit // MIB)}M" for at, grant in enumerate(grants))
        variables["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = ",".join(sizes)
    compute = min(grant.compute for grant in grants)
    if compute < FULL and not adjustable(layers, "compute"):
        variables["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(compute)
    # MPS knows two priorities, 0 (normal) and 1 (below normal): it cannot raise a program above
    # others.
    if priority is Priority.LOW:
        variables["CUDA_MPS_CLIENT_PRIORITY"] = "1"
    return variables


def _gpus(share: Share) -> tuple[GpuId, ...]:
    return share.decision.gpus if share.decision else ()


def _faulty(control: MpsControl) -> bool:
    return any(server.state is MpsState.FAULT for server in control.servers())
