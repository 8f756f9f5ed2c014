# SPDX-License-Identifier: Apache-2.0
"""What gpushare-probe reports: a share as a program inside it sees it, and as it could see it.

Memory in bytes. `result` is a CUresult: 0 success, 2 out of memory.
"""

from .units import Bytes
from .value import Value

SUCCESS, OUT_OF_MEMORY = 0, 2


class Attempt(Value):
    """One allocation path.

    `asked`: a page more than the limit. `held`: what was given at once, before all of it was
    returned. `skipped`: why the path was not tried.
    """

    path: str
    asked: Bytes
    held: Bytes
    result: int
    returned: bool = True
    skipped: str = ""


class ProbedDevice(Value):
    """`total`, `free`: as cuMemGetInfo says them. `context`: cost of the probe's own context.

    `compute`: of the GPU's time, what a program got that wanted all of it, in basis points.
    """

    result: int
    ordinal: int
    uuid: str
    name: str
    total: Bytes
    free: Bytes
    multiprocessors: int
    limit: Bytes
    context: Bytes | None = None
    compute: int | None = None
    attempts: tuple[Attempt, ...] = ()


class ProbedGuard(Value):
    """`mapped`: the share's region can be read. `attached`: it has a slot for the probe.

    `denied`: requests refused by it.
    """

    loaded: bool
    region: str
    attached: bool
    denied: int
    mapped: bool = True


class View(Value):
    """What a program sees in one environment. `pinned`: CUDA_MPS_PINNED_DEVICE_MEM_LIMIT there.

    `refused`: why what it does against the limits could not be done here; "" if it could.
    """

    cuda: int = 0
    devices: tuple[ProbedDevice, ...] = ()
    driver: str = ""
    pinned: str = ""
    guard: ProbedGuard = ProbedGuard(loaded=False, region="", attached=False, denied=0)
    refused: str = ""
    error: str = ""


class Escape(Value):
    """The same program as a tenant could start it to get around the limits.

    `view`: what it saw; None: it did not start. `processes`: views of several that ran at once.
    `work`: it makes a difference to work on the GPU only.
    """

    name: str
    view: View | None = None
    processes: tuple[View, ...] = ()
    work: bool = False


class ProbeReport(View):
    escapes: tuple[Escape, ...] = ()
