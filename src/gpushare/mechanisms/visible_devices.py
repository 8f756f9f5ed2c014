# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a program sees, and which variables it must not inherit.

CUDA_VISIBLE_DEVICES names GPUs by number, because many programs parse it as numbers, wherever a
number is exact:
- Where the Linux kernel denies a share all other GPUs, driver and NVML count those of the share.
- Under the guard, a number below the count of the share's GPUs counts those, as in a container; a
  larger one is the GPU's number in the machine. The variable has the machine's numbers where both
  agree on each, because programs use them as indices of NVML; else the share's own.
- Without the guard, numbers are those of the machine: NVML's index, which is PCI_BUS_ID order. CUDA
  counts the same GPUs as NVML only without MIG, and while no GPU is lost.
Everywhere else, and under MPS without the guard, whose clients count the devices of their server,
GPUs are named by UUID.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gpushare.model.edits import Edits
from gpushare.model.gpu import Gpu
from gpushare.model.promise import Claim
from gpushare.model.share import Level
from gpushare.model.spec import GpuGrant

# A program that inherits these would use another share's MPS daemon or limits.
MPS_VARIABLES = (
    "CUDA_MPS_LOG_DIRECTORY",
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
    "CUDA_MPS_CLIENT_PRIORITY",
)
# Set by the guard of the share that the caller is in, which may be another one.
GUARD_VARIABLES = ("GPUSHARE_REGION", "GPUSHARE_BOARDS", "GPUSHARE_SWAP", "GPUSHARE_NUMBERS")
# By default the driver connects to a daemon in a standard directory; this prevents it.
NO_MPS = "/dev/null"
HIDDEN = Claim(
    level=Level.COOPERATIVE,
    but="The other GPUs are hidden by CUDA_VISIBLE_DEVICES; without the guard, a program that "
    "changes it sees them.",
)
CONFINED = Claim(
    level=Level.ENFORCED,
    but="Under the guard, a share can open the device nodes of GPUs on which its user has another "
    "share, for peer access between the two.",
)


def devices(because: str) -> Claim:
    """`because`: why control groups cannot keep a program from the other GPUs; "" when they do."""
    return replace(HIDDEN, but=f"{HIDDEN.but} ({because})") if because else CONFINED


def own_numbers(grants: Sequence[GpuGrant]) -> Edits:
    """The GPUs of the share, counted from 0."""
    return _shown(range(len(grants)))


def places(grants: Sequence[GpuGrant], gpus: Iterable[Gpu]) -> tuple[int, ...]:
    """The numbers that the GPUs have in the machine `gpus`; empty where they are not exact."""
    known = {gpu.uuid: gpu for gpu in gpus}
    countable = all(not gpu.mig_enabled and not gpu.health.lost for gpu in known.values())
    if not countable or any(grant.gpu not in known for grant in grants):
        return ()
    return tuple(known[grant.gpu].index for grant in grants)


def machine_numbers(numbers: Sequence[int]) -> Edits:
    """Numbers in the machine; none change nothing."""
    return _shown(numbers) if numbers else Edits()


def guarded_numbers(grants: Sequence[GpuGrant], numbers: Sequence[int]) -> Edits:
    """Numbers in the machine where the guard reads each as the same GPU, else the share's own."""
    count = len(grants)
    if not numbers or any(at != number < count for at, number in enumerate(numbers)):
        return own_numbers(grants)
    return _shown(numbers) | Edits(env={"GPUSHARE_NUMBERS": _list(numbers)})


def _shown(numbers: Iterable[int]) -> Edits:
    return Edits(env={"CUDA_VISIBLE_DEVICES": _list(numbers)})


def _list(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def visible(grants: Sequence[GpuGrant]) -> Edits:
    """UUIDs, which the stack replaces by numbers where they are exact; and no MPS daemon."""
    env = {
        "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu for grant in grants),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": NO_MPS,
    }
    return Edits(env=env, unset=(*MPS_VARIABLES, *GUARD_VARIABLES))
