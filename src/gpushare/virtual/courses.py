# SPDX-License-Identifier: Apache-2.0
"""What arrives, and what became of it. Times are seconds since the beginning of a trace."""

from gpushare.model.ids import ShareId, Tenant
from gpushare.model.share import Decision
from gpushare.model.spec import ShareSpec
from gpushare.model.units import Bytes
from gpushare.model.value import Value


class Job(Value):
    """A request and the program behind it.

    `runs`: seconds that its program needs on its GPUs at full speed. `need`: the part of each of
    its GPUs that it computes on at full speed; 0: not known, and it is never slowed. `used`: bytes
    that it uses on each. `size`: GPUs that it is as good as, by the larger of its parts of memory
    and compute. `patience`: seconds after which it leaves the queue; None: never. `restarts`: ended
    by the scheduler, it asks again and begins from its last checkpoint. `moves`: it can be
    suspended.
    """

    id: ShareId
    tenant: Tenant
    at: float
    spec: ShareSpec
    runs: float
    uid: int = 0
    program: str = ""
    need: float = 0.0
    used: Bytes = Bytes(0)
    size: float = 1.0
    patience: float | None = None
    restarts: bool = False
    checkpoint: float = 0.0
    moves: bool = True


class TimeOnGpus(Value):
    """A time on GPUs. `speed`: of its program, 1 alone; 0 while its memory is moved."""

    begin: float
    end: float
    speed: float
    memory: Bytes
    compute: float  # guaranteed, in GPUs, over all of its GPUs
    gpus: int = 1


class Course(Value):
    """What became of a job. `lost`: seconds of work at full speed that were done without use.

    `refused`: why it could never be placed. `first`: its first decision.
    """

    job: Job
    stays: tuple[TimeOnGpus, ...] = ()
    ended: float | None = None
    left: float | None = None
    suspended: int = 0
    evicted: int = 0
    throttled: int = 0
    lost: float = 0.0
    refused: str = ""
    first: Decision | None = None

    @property
    def granted(self) -> float | None:
        """When it first had a place."""
        return self.stays[0].begin if self.stays else None
