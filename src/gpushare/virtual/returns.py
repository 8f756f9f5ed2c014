# SPDX-License-Identifier: Apache-2.0
"""What of the room that was taken back is given back next, as the daemon's reclaimer decides it."""

from collections.abc import Collection, Iterable

from gpushare.model.errors import GpushareError
from gpushare.model.ids import ShareId
from gpushare.model.policy.reclaim import Action
from gpushare.model.share import Decision, Share
from gpushare.model.value import Value
from gpushare.scheduler import Snapshot, plan, regrant, returned, returning


class Return(Value):
    """`decision`: of a throttled share, with its compute. `actions`: what others give for it.

    Without either the share is resumed.
    """

    share: Share
    decision: Decision | None = None
    actions: tuple[Action, ...] = ()


def next_return(
    state: Snapshot, reclaimed: Iterable[Share], taking: Collection[ShareId]
) -> Return | None:
    """The first share, the oldest first, for which something can be done now.

    `state.queue` is everything that waits. `taking`: shares that are leaving, and requests that
    others give room for.
    """
    for share in sorted(reclaimed, key=lambda share: share.created):
        found = (
            _restored(state, share) if share.suspension is None else _resumed(state, share, taking)
        )
        if found is not None:
            return found
    return None


def _restored(state: Snapshot, share: Share) -> Return | None:
    try:
        return Return(share=share, decision=regrant(state, share, share))
    except GpushareError:
        return None  # there is no room yet


def _resumed(state: Snapshot, share: Share, taking: Collection[ShareId]) -> Return | None:
    if not returning(state, share):
        return Return(share=share)
    # Room that shares leave is waited for before more is taken.
    if taking:
        return None
    actions = plan(state, returned(share))
    return Return(share=share, actions=actions) if actions else None
