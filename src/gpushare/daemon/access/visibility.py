# SPDX-License-Identifier: Apache-2.0
"""What callers see of other users' shares: that they exist and their size, unless the policy allows
more."""

from msgspec.structs import replace

from gpushare.daemon.present.views import for_strangers
from gpushare.hardware.ports import Processes
from gpushare.model.errors import NoSuchShareError
from gpushare.model.event import Event
from gpushare.model.gpu import GpuProcess
from gpushare.model.policy.tenant import Visibility
from gpushare.model.share import Caller, Share
from gpushare.model.view import DecisionView, GpuView, ShareView
from gpushare.store import Store

from .access import Access


class VisibilityFilter:
    def __init__(self, store: Store, processes: Processes, access: Access) -> None:
        self._store, self._processes, self._access = store, processes, access

    def find(self, ref: str, caller: Caller) -> Share:
        """By id, id prefix or name; raises NoSuchShareError also for names that are hidden."""
        share = self._store.shares.find(ref)
        hidden = not self._open(caller) and not self._access.own(share, caller)
        if hidden and ref == share.name:
            raise NoSuchShareError(
                f"no share {ref!r}", "none of yours has this name", "list them: gpushare ps -a"
            )
        return share

    def own(self, ref: str, caller: Caller) -> Share:
        """A share that the caller may act on; raises NotYoursError too."""
        return self._access.check(self.find(ref, caller), caller)

    def share(self, view: ShareView, share: Share, caller: Caller) -> ShareView:
        """The whole view for those who may act on the share, else only what strangers see."""
        if self._access.own(share, caller):
            return view
        return for_strangers(view, names=self._open(caller))

    def gpu(self, view: GpuView, caller: Caller) -> GpuView:
        """Without the processes of other users."""
        if self._open(caller):
            return view
        own = (process for process in view.processes if self._own(process, caller))
        return replace(view, processes=tuple(own))

    def decision(self, view: DecisionView, caller: Caller) -> DecisionView:
        """Without the names of other users' shares."""
        return view if self._open(caller) else replace(view, shares=())

    def hears(self, event: Event, caller: Caller) -> bool:
        """Whether the caller may see the event.

        A share that is no longer kept counts as that of another user.
        """
        try:
            share = self._store.shares.get(event.share) if event.share else None
        except NoSuchShareError:
            share = None
        return self._access.hears(event, share, caller)

    def _open(self, caller: Caller) -> bool:
        """Whether the caller may know whose shares are whose."""
        policy = self._store.policy.current()
        return self._access.all(caller) or policy.visibility is Visibility.SHARES

    def _own(self, process: GpuProcess, caller: Caller) -> bool:
        living = self._processes.find(process.pid)
        return living is not None and self._processes.uid(living) == caller.uid
