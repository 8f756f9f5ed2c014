# SPDX-License-Identifier: Apache-2.0
"""Processes, identified by pid and start time."""

from typing import Protocol

from gpushare.model.share import ProcessRef


class Processes(Protocol):
    """Processes that cannot be confused with later ones of the same pid."""

    def find(self, pid: int) -> ProcessRef | None:
        """None: no such process, or a zombie."""
        ...

    def alive(self, process: ProcessRef) -> bool: ...

    def uid(self, process: ProcessRef) -> int | None:
        """Real uid; None when the process is gone."""
        ...

    def inside(self, namespace: int, process: ProcessRef) -> ProcessRef | None:
        """Who a process of another pid namespace is here; None where it cannot be seen.

        `process`: as it is in there. `namespace`: the low half of its inode number.
        """
        ...

    def ticks(self) -> int:
        """Now, as `ProcessRef.started` counts."""
        ...

    def ancestors(self, pid: int) -> tuple[ProcessRef, ...]:
        """The process itself, its parent and so on; empty if there is no such process."""
        ...

    def first_of_namespace(self, process: ProcessRef) -> bool:
        """Whether it is process 1 of a pid namespace, which ends with it."""
        ...

    def open(self, process: ProcessRef) -> int | None:
        """A pidfd that becomes readable when the process ends; None when it is gone already."""
        ...

    def status(self, process: ProcessRef, descriptor: int) -> int | None:
        """How a process ended whose pidfd is `descriptor`, as waitpid(2) reports it.

        None while it runs, and where the Linux kernel does not say.
        """
        ...
