# SPDX-License-Identifier: Apache-2.0
"""The control groups of a world: implements the Cgroups port."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Groups:
    """`left`: pids that left a group, and where to."""

    root: Path
    groups: dict[str, set[int]] = field(default_factory=dict, kw_only=True)
    with_cgroups: bool = field(default=True, kw_only=True)
    left: list = field(default_factory=list, kw_only=True)

    version = 2

    def reason(self) -> str:
        return "" if self.with_cgroups else "none here"

    def create(self, name: str) -> str:
        self.groups.setdefault(name, set())
        return f"/sys/fs/cgroup/gpushare/{name}"

    def add(self, name: str, pid: int) -> bool:
        for group in self.groups.values():
            group.discard(pid)
        self.groups[name].add(pid)
        return True

    def name_of(self, pid: int) -> str | None:
        return next((name for name, pids in self.groups.items() if pid in pids), None)

    def place_of(self, pid: int) -> str:
        return f"/before-{pid}"

    def put_back(self, pid: int, place: str) -> None:
        self.left.append((pid, place))
        for group in self.groups.values():
            group.discard(pid)

    def pids(self, name: str) -> tuple[int, ...]:
        return tuple(
            pid for pid in self.groups.get(name, ()) if (self.root / "proc" / str(pid)).is_dir()
        )

    def remove(self, name: str) -> bool:
        if self.pids(name):
            return False
        self.groups.pop(name, None)
        return True
