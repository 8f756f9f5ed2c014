# SPDX-License-Identifier: Apache-2.0
"""Decides which processes may be sent a signal; everything that ends processes asks here.

A share's processes are found by several traces, and a tenant can forge some of them: an entry in
the region, a variable in an environment. So a process is ended with a share only if

- it is not process 1, the daemon, above the daemon, or above the command that ends the share;
- it belongs to the share's user (root's shares may contain programs of other users);
- no control group, environment or later entry says that it is in another share;
- it entered the share, or is in its control group, or descends from one that entered since it did,
  or its environment names the share, and start time and control group do not contradict.

What is spared is named, with the reason, in the share's record, the answer and an event. A process
that an operator names (`gpushare clean --process`) only has to pass the first rule.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from signal import Signals

from gpushare.daemon.base.host_ports import HostPorts
from gpushare.daemon.observe.share_processes import ShareProcesses
from gpushare.hardware.ports import Processes
from gpushare.mechanisms.guard.living_shares import MARK
from gpushare.model.share import ProcessRef, Share
from gpushare.store import Store

_ROOT = 0
_COMMAND = "it runs this command"
_REGION = "GPUSHARE_REGION"  # its file is named by the share


@dataclass(frozen=True)
class Untouchable:
    """Processes that no signal goes to, with the reason."""

    reasons: Mapping[ProcessRef, str]

    @classmethod
    def here(cls, processes: Processes, command: int | None = None) -> "Untouchable":
        """`command`: the pid of the caller on this machine that ends something."""
        above = dict.fromkeys(processes.ancestors(command) if command else (), _COMMAND)
        above |= dict.fromkeys(processes.ancestors(os.getpid()), "it runs the daemon")
        first = processes.find(1)
        return cls(above | ({first: "it is process 1"} if first else {}))


class Signalling:
    def __init__(self, store: Store, ports: HostPorts, processes: ShareProcesses) -> None:
        self._store, self._ports, self._processes = store, ports, processes

    def spared(
        self, share: Share, processes: Iterable[ProcessRef], untouchable: Untouchable
    ) -> dict[ProcessRef, str]:
        """Those of the processes that must not be ended with the share, and why."""
        reasons = {p: self._why_spared(share, p, untouchable) for p in processes}
        return {process: because for process, because in reasons.items() if because}

    def allowed(self, share: Share, processes: Iterable[ProcessRef]) -> set[ProcessRef]:
        """Those that may be sent a signal now."""
        processes = set(processes)
        untouchable = Untouchable.here(self._ports.processes)
        return processes - self.spared(share, processes, untouchable).keys()

    def send(self, processes: Collection[ProcessRef], number: Signals) -> None:
        """To processes of a share that are not spared."""
        for process in processes:
            self._ports.signal(process, number)

    def send_named(self, process: ProcessRef, number: Signals, untouchable: Untouchable) -> str:
        """To a process that an operator names. Returns why it was not sent; "" if it was."""
        because = untouchable.reasons.get(process, "")
        if not because:
            self._ports.signal(process, number)
        return because

    def _why_spared(self, share: Share, process: ProcessRef, untouchable: Untouchable) -> str:
        uid, line = self._ports.processes.uid(process), self._ports.processes.ancestors(process.pid)
        if because := untouchable.reasons.get(process, ""):
            return because
        if any(above.pid == os.getpid() for above in line):
            return "it is the daemon's"
        # One that has ended needs no reason: the signal finds no process.
        if uid is not None and share.uid not in {uid, _ROOT}:
            return f"it belongs to uid {uid}"
        group = self._ports.cgroups.name_of(process.pid)
        if group is not None:
            return "" if group == share.id else f"it is in the control group of share {group}"
        return self._elsewhere(share, process) or self._unproven(share, process)

    def _elsewhere(self, share: Share, process: ProcessRef) -> str:
        """Another living share that the process is in, by its entry or its environment."""
        others = [other for other in self._store.shares.living() if other.id != share.id]
        since = {entry.process: entry.at for entry in share.entered}.get(process, process.started)
        for other in others:
            if any(entry.process == process and entry.at >= since for entry in other.entered):
                return f"it has entered share {other.id} since"
        named = self._named(process)
        if process not in share.members and named in {other.id for other in others}:
            return f"its environment names share {named}"
        return ""

    def _unproven(self, share: Share, process: ProcessRef) -> str:
        if process in share.members or process in self._processes.descended(share.id):
            return ""
        if self._named(process) != share.id:
            return "only the share's region names it"
        if any(entry.grouped for entry in share.entered):
            return "it is outside the share's control group"
        if process.started < min((entry.at for entry in share.entered), default=0):
            return "it is older than the share's first program"
        return ""

    def _named(self, process: ProcessRef) -> str:
        """The share in the environment that the process was started with."""
        variable = self._ports.residents.variable
        return variable(process.pid, MARK) or PurePath(variable(process.pid, _REGION)).name
