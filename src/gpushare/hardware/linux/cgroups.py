# SPDX-License-Identifier: Apache-2.0
"""A control group per share: v2, hybrid and v1 machines alike.

Groups hold the processes of a share together (children cannot leave by forking), and the driver's
memory limits hang on them. No controller is switched on but `dmem`, where the kernel has it.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from gpushare.model.errors import CgroupError
from gpushare.model.value import Value

from .processes import read_whole

# Any v1 hierarchy groups processes; these need no set-up before a process may join. The first one
# can also keep a share from the GPUs of others.
_V1_CHOICES = ("devices", "pids", "freezer", "cpuacct", "memory", "name=systemd")
_TRIES, _PAUSE = 100, 0.01  # a second


class Hierarchy(Value):
    """A mounted hierarchy: `version` 1 or 2, its v1 controllers, what of it is mounted where."""

    version: int
    controllers: tuple[str, ...]
    inside: PurePosixPath
    mount: PurePosixPath

    def on_disk(self, group: PurePosixPath) -> PurePosixPath:
        """Where the kernel's name of a group appears in the file system."""
        with contextlib.suppress(ValueError):
            return self.mount / group.relative_to(self.inside)
        return self.mount


class FsCgroups:
    """Implements the Cgroups port under `root`.

    `parent`: name of a group inside the hierarchy to make shares under, `/system.slice/x.service`;
    None: `/gpushare` for root, else below the group we run in (what systemd delegates to a user).
    """

    def __init__(
        self, root: Path = Path("/"), parent: str | None = None, uid: int | None = None
    ) -> None:
        self._root = root
        self._hierarchy = _choose(_mounted(root))
        privileged = (os.geteuid() if uid is None else uid) == 0
        self._parent = self._base(parent, privileged=privileged)
        self._reason: str | None = None

    @property
    def version(self) -> int:
        """2, 1, or 0 where no control groups are mounted."""
        return self._hierarchy.version if self._hierarchy else 0

    def reason(self) -> str:
        if self._reason is None:
            self._reason = self._probe()
        return self._reason

    def create(self, name: str) -> str:
        path = self._path(name)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CgroupError(
                f"cannot make the control group {path}",
                error.strerror or str(error),
                "run the daemon as root, or delegate a control group to it (systemd: Delegate=yes)",
            ) from error
        self._enable_dmem()
        return str(path)

    def add(self, name: str, pid: int) -> bool:
        if self.controls("devices") and not self._unrestricted(pid):
            return False
        try:
            (self._path(name) / "cgroup.procs").write_text(f"{pid}\n")
        except OSError:
            return False
        return True

    def name_of(self, pid: int) -> str | None:
        if self._hierarchy is None:
            return None
        group = self._hierarchy.on_disk(_own_group(self._root, self._hierarchy, str(pid)))
        ours = PurePosixPath("/") / self._parent.relative_to(self._root)
        return group.relative_to(ours).parts[0] if group != ours and ours in group.parents else None

    def place_of(self, pid: int) -> str:
        if self._hierarchy is None:
            return ""
        return str(_own_group(self._root, self._hierarchy, str(pid)))

    def put_back(self, pid: int, place: str) -> None:
        if self._hierarchy is None:
            return
        before = self._hierarchy.on_disk(PurePosixPath(place)) if place else None
        folders = [self._root / before.relative_to("/")] if before else []
        for folder in (*folders, self._parent.parent):
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(f"{pid}\n")
                return

    def folder(self, name: str) -> Path:
        return self._path(name)

    def controls(self, controller: str) -> bool:
        """Whether the groups are of a v1 hierarchy with this controller."""
        return self._hierarchy is not None and controller in self._hierarchy.controllers

    def pids(self, name: str) -> tuple[int, ...]:
        pids: set[int] = set()
        for group in self._tree(name):
            with contextlib.suppress(OSError):
                pids.update(map(int, read_whole(f"{group}/cgroup.procs").split()))
        return tuple(sorted(pids))

    def remove(self, name: str) -> bool:
        """A killed process leaves a little after it is gone from everywhere else: waits for it."""
        for _ in range(_TRIES):
            # Children first: the kernel removes a group only when it has none.
            for group in reversed(list(self._tree(name))):
                with contextlib.suppress(OSError):
                    group.rmdir()
            if not self._path(name).is_dir():
                # Fails as it should while other shares have groups there.
                with contextlib.suppress(OSError):
                    self._parent.rmdir()
                return True
            time.sleep(_PAUSE)
        return False

    def _unrestricted(self, pid: int) -> bool:
        """Whether a move would not lift a device filter that the process has from its group now.

        Only filters that deny by default are seen: of others the kernel lists no exceptions.
        """
        assert self._hierarchy is not None
        with contextlib.suppress(OSError):
            group = _own_group(self._root, self._hierarchy, str(pid))
            inside = self._hierarchy.on_disk(group).relative_to("/")
            return "a *:* rwm" in (self._root / inside / "devices.list").read_text()
        return False

    def _path(self, name: str) -> Path:
        return self._parent / name

    def _tree(self, name: str) -> Iterator[Path]:
        """The group and the groups below it, parents first."""
        top = self._path(name)
        with contextlib.suppress(OSError):
            # Two links: the folder and its own dot. Nothing below, nothing to walk.
            if os.stat(top).st_nlink == 2:  # noqa: PTH116 (every look, for each share)
                yield top
                return
        for folder, _, _ in os.walk(top):
            yield Path(folder)

    def _base(self, parent: str | None, *, privileged: bool) -> Path:
        if self._hierarchy is None:
            return self._root / "sys/fs/cgroup/gpushare"
        if parent is None:
            own = PurePosixPath("/") if privileged else _own_group(self._root, self._hierarchy)
            parent = str(own / "gpushare")
        inside = self._hierarchy.on_disk(PurePosixPath(parent))
        return self._root / inside.relative_to("/")

    def _probe(self) -> str:
        if self._hierarchy is None:
            return "no control groups are mounted"
        trial = f"trial-{os.getpid()}"
        try:
            self._path(trial).mkdir(parents=True)
        except OSError as error:
            return f"{self._parent}: {error.strerror}"
        self.remove(trial)
        return ""

    def _enable_dmem(self) -> None:
        """Hand the dmem controller down; the chain from the top must have no gap."""
        top = self._root / self._hierarchy.mount.relative_to("/") if self._hierarchy else None
        if self.version != 2 or top is None:
            return
        below = self._parent.relative_to(top).parts
        for depth in range(len(below) + 1):
            group = top.joinpath(*below[:depth])
            with contextlib.suppress(OSError):
                if "dmem" in (group / "cgroup.controllers").read_text().split():
                    (group / "cgroup.subtree_control").write_text("+dmem")


def _mounted(root: Path) -> list[Hierarchy]:
    try:
        lines = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    return [hierarchy for line in lines if (hierarchy := parse_mount(line))]


def parse_mount(line: str) -> Hierarchy | None:
    """A control group hierarchy from a line of mountinfo (proc_pid_mountinfo(5)), or None."""
    left, separator, right = line.partition(" - ")
    before, after = left.split(), right.split()
    if not separator or len(before) < 6 or len(after) < 3 or after[0] not in {"cgroup", "cgroup2"}:
        return None
    return Hierarchy(
        version=2 if after[0] == "cgroup2" else 1,
        controllers=() if after[0] == "cgroup2" else tuple(after[2].split(",")),
        inside=PurePosixPath(before[3]),
        mount=PurePosixPath(before[4]),
    )


def _choose(hierarchies: list[Hierarchy]) -> Hierarchy | None:
    """v2 wherever it is mounted, pure or hybrid; else the plainest v1 hierarchy."""
    for hierarchy in hierarchies:
        if hierarchy.version == 2:
            return hierarchy
    for name in _V1_CHOICES:
        for hierarchy in hierarchies:
            if name in hierarchy.controllers:
                return hierarchy
    return None


def _own_group(root: Path, hierarchy: Hierarchy, pid: str = "self") -> PurePosixPath:
    """The group a process runs in, by the kernel's name (cgroups(7), /proc/PID/cgroup)."""
    try:
        lines = (root / "proc" / pid / "cgroup").read_text().splitlines()
    except OSError:
        return PurePosixPath("/")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = tuple(filter(None, controllers.split(",")))
        if set(names) <= set(hierarchy.controllers) and bool(names) == (hierarchy.version == 1):
            return PurePosixPath(path)
    return PurePosixPath("/")
