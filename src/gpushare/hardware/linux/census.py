# SPDX-License-Identifier: Apache-2.0
"""All processes, read at once, for questions about many of them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gpushare.model.share import ProcessRef

from .processes import DEAD, Stat, parse_stat, read


class Census:
    """Living processes and their parents; a snapshot."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._living: dict[int, ProcessRef] = {}
        self._stats: dict[int, Stat] = {}
        self._children: dict[int, list[int]] = {}
        for name in os.listdir(self._proc):  # noqa: PTH208 (every look, hundreds of names)
            if name.isdecimal():
                self._count(name)

    def __contains__(self, process: ProcessRef) -> bool:
        return self._living.get(process.pid) == process

    def find(self, pid: int) -> ProcessRef | None:
        return self._living.get(pid)

    def family(self, roots: Iterable[ProcessRef]) -> set[ProcessRef]:
        """The living among `roots` and all their descendants."""
        family: set[ProcessRef] = set()
        waiting = [root.pid for root in roots if root in self]
        while waiting:
            pid = waiting.pop()
            if (process := self._living[pid]) not in family:
                family.add(process)
                waiting += self._children.get(pid, ())
        return family

    def descendants(self, roots: Mapping[ProcessRef, int]) -> set[ProcessRef]:
        """The living among `roots`, and what descends from them since the given times (ticks).

        A child that is older than that time is not counted, nor what is below it. Neither is a
        process in the session of an older leader: an orphan, which its parent has only adopted.
        """
        found: set[ProcessRef] = set()
        for root, since in roots.items():
            waiting = [root] if root in self else []
            while waiting:
                process = waiting.pop()
                if process not in found:
                    found.add(process)
                    waiting += self._born(process, since)
        return found

    def _born(self, parent: ProcessRef, since: int) -> Iterator[ProcessRef]:
        session = self._stats[parent.pid].session
        for pid in self._children.get(parent.pid, ()):
            child = self._stats[pid]
            own = child.session == session or self._began(child.session, since)
            if child.ref.started >= since and own:
                yield child.ref

    def _began(self, leader: int, since: int) -> bool:
        """Whether the leader of a session lives and is not older; one that has ended is unknown."""
        process = self._living.get(leader)
        return process is not None and process.started >= since

    def marked(self, variable: str, value: str, uid: int) -> set[ProcessRef]:
        """Processes of a user that were started with `variable=value` in their environment."""
        # With a zero byte on both sides, so that no longer name or value matches.
        mark = f"\0{variable}={value}\0".encode()
        return {
            process
            for process in self._living.values()
            if mark in b"\0" + self._environment(process.pid, uid) + b"\0"
        }

    def marks(self, variable: str) -> dict[tuple[str, int], set[int]]:
        """Pids of the processes that were started with the variable, by its value and their uid."""
        start = f"\0{variable}=".encode()
        found: dict[tuple[str, int], set[int]] = {}
        for pid in self._living:
            with suppress(OSError):
                uid = (self._proc / str(pid)).stat().st_uid
                _, mark, rest = (b"\0" + self._environment(pid, uid)).partition(start)
                if mark:
                    value = rest.partition(b"\0")[0].decode(errors="replace")
                    found.setdefault((value, uid), set()).add(pid)
        return found

    def _environment(self, pid: int, uid: int) -> bytes:
        folder = self._proc / str(pid)
        try:
            # Only of the share's user: any user can set the variable.
            return (folder / "environ").read_bytes() if folder.stat().st_uid == uid else b""
        except OSError:
            return b""

    def _count(self, pid: str) -> None:
        try:
            stat = parse_stat(read(self._proc, pid, "stat"))
        except (OSError, ValueError):
            return
        if stat.state not in DEAD:
            self._living[stat.ref.pid] = stat.ref
            self._stats[stat.ref.pid] = stat
            self._children.setdefault(stat.parent, []).append(stat.ref.pid)
