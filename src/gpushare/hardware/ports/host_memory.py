# SPDX-License-Identifier: Apache-2.0
"""The machine's own memory."""

from pathlib import Path
from typing import Protocol

from gpushare.model.units import Bytes


class HostMemory(Protocol):
    """The machine's own memory, and file systems made of it."""

    def total(self) -> Bytes: ...

    def available(self) -> Bytes:
        """What programs can take without others losing any."""
        ...

    def in_memory(self, path: Path) -> bool:
        """Whether what is written there stays in memory."""
        ...

    def room(self, path: Path) -> Bytes:
        """What can still be written there."""
        ...

    def mount(self, path: Path, size: Bytes) -> bool:
        """Have a file system of memory there, in huge pages where possible; False: refused.

        Refused also where the programs of the machine would not see it.
        """
        ...
