# SPDX-License-Identifier: Apache-2.0
"""Another mechanism for a share whose grant failed, where its user left the choice to gpushare."""

from collections.abc import Callable, Iterable

from gpushare.model.errors import GpushareError, HardwareError
from gpushare.model.ids import ShareId
from gpushare.model.share import Decision, Share
from gpushare.scheduler import Request, Snapshot, instead, without_base

from .replay import DecisionRecord


class Fallback:
    """For the shares of one grant. `keep` stores what a new decision was made from."""

    def __init__(
        self,
        state: Snapshot,
        requests: Iterable[Request],
        keep: Callable[[ShareId, DecisionRecord], None],
    ) -> None:
        self._state, self._keep = state, keep
        self._requests = {request.id: request for request in requests}

    def __call__(self, share: Share, error: GpushareError) -> Decision | None:
        """`share`: with the decision that failed. None: there is no other mechanism."""
        request, failed = self._requests[share.id], share.decision
        named = request.spec.mechanism is not None
        if named or failed is None or not isinstance(error, HardwareError):
            return None
        self._state = without_base(self._state, failed, str(error))
        decision = instead(self._state, request, failed)
        if decision is not None:
            record = DecisionRecord(state=self._state, requests=(request,), decision=decision)
            self._keep(share.id, record)
        return decision
