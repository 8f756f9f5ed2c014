# SPDX-License-Identifier: Apache-2.0
"""When a share that was suspended to take back borrowed room may be resumed."""

from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.share import Decision, Share
from gpushare.scheduler.order.order import ordered
from gpushare.scheduler.order.tenancy import admission
from gpushare.scheduler.placing.change import hindrance
from gpushare.scheduler.placing.decide import decide
from gpushare.scheduler.request.state import Request, Snapshot


def returning(state: Snapshot, share: Share) -> str:
    """What keeps a share suspended that had borrowed; "" when it may be resumed now.

    `state.queue` are all that wait. It comes back only where no request that goes before it could
    use its room, so that what is given back is not taken again at once.
    """
    request = returned(share)
    line = ordered(state, (*(r for r in state.queue if r.id != share.id), request))
    ahead = line[: line.index(request)]
    try:
        if reason := admission(replace(state, queue=ahead), request):
            return reason
    except GpushareError as error:
        return str(error)
    return kept_out(replace(state, queue=ahead), share)


def returned(share: Share) -> Request:
    """The request that a suspended share is, for `ordered` and `plan`: for the GPUs it had."""
    gpus = share.decision.gpus if share.decision else ()
    return Request(
        spec=replace(share.spec, gpu=gpus, gang=None, at=None),
        uid=share.uid,
        tenant=share.tenant,
        id=share.id,
        # Its patience counts from the suspension: before, it did not wait.
        asked=share.suspension.since if share.suspension else None,
        program=share.program,
    )


def kept_out(state: Snapshot, share: Share) -> str:
    """What keeps the share off its GPUs when the requests of `state.queue` go before it.

    "": nothing.
    """
    if reason := hindrance(state, share):
        return reason
    # `hindrance` looks at shares and reservations only, `decide` also at the place kept for the
    # first in the queue.
    others = tuple(other for other in state.shares if other.id != share.id)
    try:
        answer = decide(replace(state, shares=others), returned(share))
    except GpushareError as error:
        return str(error)
    return "" if isinstance(answer, Decision) else answer.waits_for
