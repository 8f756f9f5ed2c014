# SPDX-License-Identifier: Apache-2.0
"""Which GPUs a program sees, and what it must not bring along from elsewhere."""

from collections.abc import Sequence

from msgspec.structs import replace

from gpushare.model.edits import Edits
from gpushare.model.promise import Claim
from gpushare.model.share import Level
from gpushare.model.spec import GpuGrant

# A program that inherits these would talk to somebody else's MPS, or take his limits for its own.
MPS_VARIABLES = (
    "CUDA_MPS_LOG_DIRECTORY",
    "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE",
    "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT",
    "CUDA_MPS_CLIENT_PRIORITY",
)
# The driver joins a daemon in its default directory unasked; where there is no directory it cannot.
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
    """UUIDs, so that no order of devices can point a share at another GPU; and nobody's MPS."""
    env = {
        "CUDA_VISIBLE_DEVICES": ",".join(grant.gpu for grant in grants),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_MPS_PIPE_DIRECTORY": NO_MPS,
    }
    return Edits(env=env, unset=MPS_VARIABLES)
