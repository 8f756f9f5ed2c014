# SPDX-License-Identifier: Apache-2.0
"""Programs run at the same time through one MPS daemon per GPU (NVIDIA MPS docs, r615).

A client has one pipe directory, hence one daemon, and each GPU has its own daemon: so a share
under MPS has one GPU. Shares of several GPUs are time-sliced.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gpushare.hardware.ports import Mps, MpsControl, MpsState
from gpushare.model.edits import Edits
from gpushare.model.errors import MpsError, UnsupportedError
from gpushare.model.gpu import Gpu
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
        fault=Claim(but="One fatal GPU fault ends every program under MPS on the same GPU."),
        devices=HIDDEN,
        also=(
            "Programs that run at the same time can observe each other through caches.",
            "The driver cannot checkpoint programs under MPS.",
        ),
        max_gpus=1,
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
        self._seen: dict[GpuId, tuple[float, Observation]] = {}

    def unavailable(self, gpus: Sequence[Gpu]) -> str:
        """MPS needs its control program, and Volta or newer GPUs."""
        if self._mps.binary() is None:
            return "nvidia-cuda-mps-control is not on PATH"
        old = (g for g in gpus if g.compute_capability and g.compute_capability < _OLDEST)
        return next((f"{gpu.name} is older than Volta" for gpu in old), "")

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        """Start the GPU's MPS daemon if the share is its first.

        Raises UnsupportedError, MpsError.
        """
        if len(grants) != 1:
            raise UnsupportedError(
                "MPS shares have one GPU",
                "each GPU has an MPS daemon of its own, and a program can reach only one",
                "use --mechanism timeslice for several GPUs",
            )
        grant = grants[0]
        place = self._mps.acquire(grant.gpu, share.id)
        edits = visible(grants)
        mine = {
            "CUDA_MPS_PIPE_DIRECTORY": str(place.pipe),
            **limits(grant, share.spec.priority, layers=self._on(share)),
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
        for gpu in _gpus(share):
            try:
                control = self._mps.control(gpu)
                for client in control.clients():
                    if client.pid in pids:
                        control.terminate(client)
            except MpsError:
                continue

    def release(self, share: Share) -> None:
        """The daemon of a GPU ends with its last share."""
        for gpu in _gpus(share):
            self._mps.release(gpu, share.id)
            if not self._mps.holders().get(gpu):
                self._seen.pop(gpu, None)

    def observe(self, share: Share) -> Observation:
        """Whether the MPS server has failed, at most 5 s ago.

        No memory, which MPS does not report.
        """
        observation = Observation()
        for gpu in _gpus(share):
            observation |= self._look(gpu)
        return observation

    def mend(self) -> tuple[str, ...]:
        """Ends daemons without shares, and restarts those that failed and have no clients."""
        homes = self._mps.holders()
        # At the same time, so that daemons that do not answer take no longer than one of them.
        with ThreadPoolExecutor(max(1, len(homes))) as threads:
            done = threads.map(self._mend, homes, homes.values())
        return tuple(it for it in done if it)

    def _mend(self, gpu: GpuId, holders: Sequence[str]) -> str:
        if not holders:
            self._mps.release(gpu, None)
            return f"stopped the MPS daemon of {gpu}, which no share uses"
        if why := self._restartable(gpu):
            self._mps.restart(gpu)
            self._seen.pop(gpu, None)
            return f"restarted the MPS daemon of {gpu}: {why}"
        return ""

    def trouble(self, gpu: GpuId) -> str:
        """Whether the GPU's daemon is gone, else what the newest look at it has found."""
        if not self._mps.holders().get(gpu):
            return ""
        return self._gone(gpu) or self._seen.get(gpu, (0.0, Observation()))[1].fault

    def unready(self, gpu: GpuId) -> str:
        """A server in FAULT fails new clients until its present ones have left, and programs hang
        where no daemon answers. One that is gone is started again for the next share."""
        return self._seen.get(gpu, (0.0, Observation()))[1].fault

    def _gone(self, gpu: GpuId) -> str:
        """Costs a look at /proc only, so it is never older than now."""
        try:
            self._mps.control(gpu)
        except MpsError as error:
            return str(error)
        return ""

    def _look(self, gpu: GpuId) -> Observation:
        if gone := self._gone(gpu):
            return Observation(fault=gone)
        at, observation = self._seen.get(gpu, (-_LOOK_EVERY, Observation()))
        if self._clock() - at >= _LOOK_EVERY:
            observation = self._diagnose(gpu)
            self._seen[gpu] = (self._clock(), observation)
        return observation

    def _diagnose(self, gpu: GpuId) -> Observation:
        try:
            control = self._mps.control(gpu)
            faulty = _faulty(control)
        except MpsError as error:
            return Observation(fault=str(error))
        if not faulty:
            return Observation()
        blamed = control.blame()
        named = f"; its log names {', '.join(map(str, blamed))}" if blamed else ""
        return Observation(fault=f"the MPS server of {gpu} is in FAULT{named}", blamed=blamed)

    def _restartable(self, gpu: GpuId) -> str:
        """Why the daemon needs a restart and no client prevents it; "" when not."""
        try:
            control = self._mps.control(gpu)
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
    grant: GpuGrant, priority: Priority, *, layers: Sequence[Promise] = ()
) -> dict[str, str]:
    """What the client side of MPS reads, once, when a program starts.

    So what a layer holds is left to the layer, which can change it while programs run. Device 0 and
    no other: an entry for a device the client does not see drops every limit without an error
    (measured on driver 580).
    """
    variables = {}
    if not layers:
        variables["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = f"0={max(1, grant.limit // MIB)}M"
    if grant.compute < FULL and not adjustable(layers, "compute"):
        variables["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(grant.compute)
    # MPS knows two priorities, 0 (normal) and 1 (below normal): it cannot raise a program above
    # others.
    if priority is Priority.LOW:
        variables["CUDA_MPS_CLIENT_PRIORITY"] = "1"
    return variables


def _gpus(share: Share) -> tuple[GpuId, ...]:
    return share.decision.gpus if share.decision else ()


def _faulty(control: MpsControl) -> bool:
    return any(server.state is MpsState.FAULT for server in control.servers())
