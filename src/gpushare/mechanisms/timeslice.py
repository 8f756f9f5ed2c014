# SPDX-License-Identifier: Apache-2.0
"""Programs take turns on the GPU: the driver's own behaviour."""

from collections.abc import Sequence

from gpushare.model.edits import Edits
from gpushare.model.promise import Claim, Need, Promise, Use
from gpushare.model.share import Level, Share
from gpushare.model.spec import GpuGrant, MechanismName

from .mechanism import PassiveMechanism
from .visible_devices import HIDDEN, visible


class Timeslice(PassiveMechanism):
    promise = Promise(
        mechanism=MechanismName.TIMESLICE,
        memory=Claim(but="Nothing stops a program from allocating all memory of the GPU."),
        compute=Claim(
            but="Compute is not limited: programs take turns, and each neighbour slows the others."
        ),
        fault=Claim(
            level=Level.COOPERATIVE,
            but="Most GPU faults end only the program that caused them; Xid 48, 79, 95 and 109 "
            "end every program on the GPU.",
        ),
        devices=HIDDEN,
        also=("Programs that take turns can observe each other's timing.",),
        uses=(
            Use(
                need=Need.SHARED,
                why="no compute limit was requested, and time-slicing keeps faults apart",
            ),
            Use(
                need=Need.PRIORITY,
                layered=True,
                why="time-slicing can interrupt long kernels, which keeps priority {priority} best",
            ),
            Use(
                need=Need.PRIORITY,
                layered=False,
                rank=1,
                holds=False,
                why="this machine has neither the guard nor MPS to keep priority {priority}",
            ),
            Use(
                need=Need.COMPUTE,
                layered=True,
                rank=1,
                why="the guard holds a compute limit of {compute} % without MPS too",
            ),
            Use(
                need=Need.COMPUTE,
                layered=False,
                rank=1,
                holds=False,
                why="MPS cannot be used here, so the compute limit does not hold",
            ),
        ),
    )

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:  # noqa: ARG002
        return visible(grants)
