# SPDX-License-Identifier: Apache-2.0
"""What a share gets where the mechanism that was chosen for it turns out not to work. Pure."""

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.share import Decision
from gpushare.scheduler.request.state import Request, Snapshot

from .decide import decide


def without_base(state: Snapshot, failed: Decision, because: str) -> Snapshot:
    """The state in which the decision's base cannot be used on its GPUs."""
    base = failed.mechanisms[0]
    down = {gpu: {**state.unready.get(gpu, {}), base: because} for gpu in failed.gpus}
    return replace(state, unready=state.unready | down)


def instead(state: Snapshot, request: Request, failed: Decision) -> Decision | None:
    """The same request on the same GPUs, in a state of `without_base`; None: only that would do.

    It takes no more than the failed decision, whose room it has: memory and compute are equal.
    """
    spec = replace(request.spec, gpu=failed.gpus, gang=None, at=None)
    booked = tuple(share for share in state.booked if share.id != request.id)
    try:
        answer = decide(replace(state, queue=(), booked=booked), replace(request, spec=spec))
    except GpushareError:
        return None
    return answer if isinstance(answer, Decision) else None
