# SPDX-License-Identifier: Apache-2.0
"""What the policy does with a share whose limits do not hold: nothing, stop processes, end it."""

import signal
from collections.abc import Collection, Sequence

from gpushare.daemon.acts.signalling import Signalling
from gpushare.daemon.acts.termination import Termination
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.model.escape import EscapeCause, EscapeKind
from gpushare.model.ids import ShareId
from gpushare.model.policy.tenant import EscapeAct
from gpushare.model.share import ProcessRef, Share


class EscapeActs:
    """Called in each pass while an escape lasts; every act may be repeated."""

    def __init__(
        self,
        bus: Bus,
        processes: ShareProcesses,
        termination: Termination,
        signalling: Signalling,
    ) -> None:
        self._bus, self._signalling = bus, signalling
        self._processes, self._termination = processes, termination
        self._stopped: dict[ShareId, set[ProcessRef]] = {}

    def act(self, share: Share, act: EscapeAct, on_gpu: Collection[int]) -> None:
        """`on_gpu`: the share's processes that the driver lists."""
        # After an upgrade, regions of the earlier version cannot be read: no program's fault.
        period = [] if share.escape is None else share.escape.causes
        causes = [cause for cause in period if cause.kind is not EscapeKind.STALE]
        if not causes or self._termination.reason(share.id) is not None:
            return
        if act is EscapeAct.END:
            assert share.escape is not None
            self._termination.stop(share, f"a limit did not hold: {share.escape.text}")
        elif act is EscapeAct.SUSPEND:
            self._stop(share, causes, on_gpu)

    def _stop(self, share: Share, causes: Sequence[EscapeCause], on_gpu: Collection[int]) -> None:
        """SIGSTOP: without the guard nothing moves a process' memory, so it keeps what it has, but
        takes no more and starts no work."""
        named = {cause.pid for cause in causes}
        wanted = on_gpu if None in named else named
        shown = (p for p in self._processes.shown(share) if p.pid in wanted)
        processes = self._signalling.allowed(share, shown)
        self._signalling.send(processes, signal.SIGSTOP)
        if new := processes - self._stopped.get(share.id, set()):
            pids = ", ".join(str(process.pid) for process in sorted(new, key=lambda p: p.pid))
            self._bus.publish("share.escape_stopped", f"stopped: {pids}", share=share.id)
        self._stopped[share.id] = processes

    def keep(self, shares: Collection[ShareId]) -> None:
        """Forget every other share."""
        self._stopped = {share: it for share, it in self._stopped.items() if share in shares}
