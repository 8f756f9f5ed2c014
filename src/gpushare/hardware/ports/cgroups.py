# SPDX-License-Identifier: Apache-2.0
"""Control groups of shares."""

from typing import Protocol


class Cgroups(Protocol):
    """The control groups of shares, below one parent that is ours; named by share id."""

    @property
    def version(self) -> int:
        """2, 1, or 0 where no control groups are mounted."""
        ...

    def reason(self) -> str:
        """Why control groups cannot be used here; empty when they can."""
        ...

    def create(self, name: str) -> str:
        """Make the group if it is missing and return its absolute path; raises CgroupError."""
        ...

    def add(self, name: str, pid: int) -> bool:
        """False where the kernel does not let us move the process, or it is gone."""
        ...

    def name_of(self, pid: int) -> str | None:
        """The name of our group that the process is in; None: it is in none, or is gone."""
        ...

    def place_of(self, pid: int) -> str:
        """The group of the process, ours or not, as `put_back` takes it; "" where unknown."""
        ...

    def put_back(self, pid: int, place: str) -> None:
        """Move the process out of our groups: to `place`, else to where our groups are.

        A process that the kernel does not let go stays.
        """
        ...

    def pids(self, name: str) -> tuple[int, ...]:
        """Processes in the group; empty when there is no such group."""
        ...

    def remove(self, name: str) -> bool:
        """True when the group is gone; False while processes are in it."""
        ...
