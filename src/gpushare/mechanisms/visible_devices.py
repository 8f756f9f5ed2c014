# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a program sees, and which variables it must not inherit."""

from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.model.edits import Edits
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
    but="The other GPUs are hidden by CUDA_VISIBLE_DEVICES; a program that changes it sees them.",
)
CONFINED = Claim(level=Level.ENFORCED)


def devices(because: str) -> Claim:
    """`because`: why control groups cannot keep a program from the other GPUs; "" when they do."""
    return replace(HIDDEN, but=f"{HIDDEN.but} ({because})") if because else CONFINED


def visible(grants: Sequence[GpuGrant]) -> Edits:
    """UUIDs, because they do not depend on the order of devices; and no MPS daemon."""
    env = {
        "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu for grant in grants),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": NO_MPS,
    }
    return Edits(env=env, unset=MPS_VARIABLES)
