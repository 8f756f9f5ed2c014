# SPDX-License-Identifier: Apache-2.0
"""What callers see of other users' shares: that they exist and their size, unless the policy allows
more."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from gpushare.daemon.present.views import for_strangers
from gpushare.hardware.ports import Processes
from gpushare.model.event import Event
from gpushare.model.ids import parse_ref
from gpushare.model.policy.tenant import Visibility
from gpushare.model.share import Caller, Share
from gpushare.model.view import DecisionView, GpuView, ShareView
from gpushare.store import Store

from .access import Access
from .share_lookup import ShareLookup


class VisibilityFilter:
    def __init__(self, store: Store, processes: Processes, access: Access) -> None:
        self._store, self._processes, self._access = store, processes, access
        self._lookup = ShareLookup(store)

    def find(self, ref: str, caller: Caller) -> Share:
        """As `ShareLookup.find`."""
        return self._lookup.find(ref, caller, names_visible=self._open(caller))

    def own(self, ref: str, caller: Caller) -> Share:
        """A share that the caller may act on; raises NotYoursError too."""
        return self._access.check(self.find(ref, caller), caller)

    def share(self, view: ShareView, share: Share, caller: Caller) -> ShareView:
        """The whole view for those who may act on the share, else only what strangers see."""
        visible = self._open(caller)
        if not self._access.own(share, caller):
            view = for_strangers(view, names=visible)
        return replace(view, ref=_ref(view, share, caller, visible=visible))

    def gpu(self, view: GpuView, caller: Caller) -> GpuView:
        """Without the processes of other users."""
        if self._open(caller):
            return view
        own = tuple(p for p in view.processes if self._own(p.pid, caller))
        pids = {process.pid for process in own}
        escapes = tuple(escape for escape in view.escapes if escape.pid in pids)
        return replace(view, processes=own, escapes=escapes)

    def decision(self, view: DecisionView, caller: Caller) -> DecisionView:
        """Without the names of other users' shares."""
        return view if self._open(caller) else replace(view, shares=())

    def heard(self, events: Sequence[Event], caller: Caller) -> Iterator[Event]:
        """Those of the events that the caller may see.

        A share that is no longer kept counts as that of another user.
        """
        # One question for all events, because there may be thousands.
        own = set() if self._access.all(caller) else self._store.shares.of(caller.uid)
        return (event for event in events if self._access.hears(event, own, caller))

    def _open(self, caller: Caller) -> bool:
        """Whether the caller may know whose shares are whose."""
        policy = self._store.policy.current()
        return self._access.all(caller) or policy.visibility is Visibility.SHARES

    def _own(self, pid: int, caller: Caller) -> bool:
        living = self._processes.find(pid)
        return living is not None and self._processes.uid(living) == caller.uid


def _ref(view: ShareView, share: Share, caller: Caller, *, visible: bool) -> str:
    """What the caller writes to mean the share."""
    # Earlier releases allowed names that read as an id, which mean nothing else now.
    if parse_ref(share.name).id:
        return share.id
    if share.uid == caller.uid:
        return share.name
    return f"{view.user}/{share.name}" if visible else share.id
