# SPDX-License-Identifier: Apache-2.0
"""All processes, read at once, for questions about many of them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gpushare.model.share import ProcessRef

from .processes import DEAD, Stat, parse_stat, read_stat


class Census:
    """Living processes and their parents; a snapshot.

    `before`: an earlier one. What the Linux kernel says of a process as it did then is not parsed
    again. `texts` has all processes, `stats` those that live.
    """

    def __init__(self, root: Path = Path("/"), before: "Census | None" = None) -> None:
        self._proc = root / "proc"
        self.texts: dict[int, tuple[bytes, Stat]] = {}
        self._before = before.texts if before else {}
        self._living: dict[int, ProcessRef] = {}
        self.stats: dict[int, Stat] = {}
        self._children: dict[int, list[int]] = {}
        for name in os.listdir(self._proc):  # noqa: PTH208 (every look, hundreds of names)
            if name.isdecimal():
                self._count(name)
        self._before = {}

    def __contains__(self, process: ProcessRef) -> bool:
        return self._living.get(process.pid) == process

    def find(self, pid: int) -> ProcessRef | None:
        return self._living.get(pid)

    def changed(self, before: "Census") -> set[int]:
        """Pids of processes that have begun or ended since, or have another parent or session, and
        of the parents that these have now."""
        here, there = self.stats, before.stats
        pids = {pid for pid, stat in here.items() if not _same(stat, there.get(pid))}
        parents = {here[pid].parent for pid in pids}
        return pids | parents | (there.keys() - here.keys())

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
        session = self.stats[parent.pid].session
        for pid in self._children.get(parent.pid, ()):
            child = self.stats[pid]
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
            text = read_stat(self._proc, pid)
            number = int(pid)
            known = self._before.get(number)
            known = known if known and known[0] == text else (text, parse_stat(text))
        except (OSError, ValueError):
            return
        self.texts[number], stat = known, known[1]
        if stat.state not in DEAD:
            self._living[stat.ref.pid] = stat.ref
            self.stats[stat.ref.pid] = stat
            self._children.setdefault(stat.parent, []).append(stat.ref.pid)


class Censuses:
    """Takes one census after the other; threads may share it."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._last: Census | None = None

    def __call__(self) -> Census:
        self._last = census = Census(self._root, self._last)
        return census


def _same(stat: Stat, before: Stat | None) -> bool:
    if stat is before:
        return True
    names = (stat.ref, stat.parent, stat.session)
    return before is not None and names == (before.ref, before.parent, before.session)
