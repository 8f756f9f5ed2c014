# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a program sees, and which variables it must not inherit.

CUDA_VISIBLE_DEVICES names GPUs by number, because many programs parse it as numbers, wherever a
number is exact:
- the guard reads numbers as the GPUs of the share (0 is its first), whatever the machine has, and
  so does the driver where the Linux kernel denies it all other GPUs;
- else a number is the GPU's place in the machine (NVML's index, which is PCI_BUS_ID order), as long
  as CUDA counts the same GPUs as NVML: without MIG, and while no GPU is lost.
Everywhere else, and under MPS without either, whose clients count the devices of their server, GPUs
are named by UUID.
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
    return _shown(map(str, range(len(grants))))


def machine_numbers(grants: Sequence[GpuGrant], gpus: Iterable[Gpu]) -> Edits:
    """The numbers that the GPUs have in the machine `gpus`; nothing where they are not exact."""
    known = {gpu.uuid: gpu for gpu in gpus}
    countable = all(not gpu.mig_enabled and not gpu.health.lost for gpu in known.values())
    if not countable or any(grant.gpu not in known for grant in grants):
        return Edits()
    return _shown(str(known[grant.gpu].index) for grant in grants)


def _shown(names: Iterable[str]) -> Edits:
    return Edits(env={"CUDA_VISIBLE_DEVICES": ",".join(names)})


def visible(grants: Sequence[GpuGrant]) -> Edits:
    """UUIDs, which the stack replaces by numbers where they are exact; and no MPS daemon."""
    env = {
        "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu for grant in grants),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": NO_MPS,
    }
    return Edits(env=env, unset=MPS_VARIABLES)
