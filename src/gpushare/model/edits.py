# SPDX-License-Identifier: Apache-2.0
"""What a mechanism wants changed around a program; all that deliveries know of mechanisms."""

from enum import StrEnum, unique
from functools import reduce
from typing import TypeVar

from .value import Value

T = TypeVar("T")


@unique
class HookStage(StrEnum):
    CREATE_RUNTIME = "createRuntime"
    CREATE_CONTAINER = "createContainer"
    POSTSTOP = "poststop"


class DeviceNode(Value):
    path: str
    permissions: str = "rw"


class Mount(Value):
    source: str
    target: str
    read_only: bool = True


class Hook(Value):
    stage: HookStage
    path: str
    args: tuple[str, ...] = ()


class Edits(Value):
    """`env` is set, `unset` removed, `preload` put first in LD_PRELOAD, `cgroup` joined."""

    env: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    mounts: tuple[Mount, ...] = ()
    hooks: tuple[Hook, ...] = ()
    cgroup: str | None = None  # absolute path of the share's own control group

    def __or__(self, other: "Edits") -> "Edits":
        """Both edits; where they disagree on a variable or cgroup the right one wins."""
        return Edits(
            env={**self.env, **other.env},
            # What the left one removes and the right one sets is set.
            unset=tuple(n for n in _union(self.unset, other.unset) if n not in other.env),
            preload=_union(self.preload, other.preload),
            device_nodes=_union(self.device_nodes, other.device_nodes),
            mounts=_union(self.mounts, other.mounts),
            hooks=_union(self.hooks, other.hooks),
            cgroup=other.cgroup or self.cgroup,
        )


def merge(*edits: Edits) -> Edits:
    """All edits from left to right; later ones win."""
    return reduce(Edits.__or__, edits, Edits())


def _union(left: tuple[T, ...], right: tuple[T, ...]) -> tuple[T, ...]:
    return (*left, *(item for item in right if item not in left))
