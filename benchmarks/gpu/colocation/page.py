# SPDX-License-Identifier: Apache-2.0
"""A page of words that a job and its observer share; the GPU itself counts in its second half."""

import mmap
import os
from pathlib import Path
from typing import Self

import numpy as np

HALF = 4096
PAUSE, QUIT = 0, 255


class Page:
    """`wish` is written by the observer, everything else by the job."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, 2 * HALF)
        self.memory = mmap.mmap(descriptor, 2 * HALF)
        os.close(descriptor)
        self._words = np.frombuffer(self.memory, dtype=np.int64)
        self.counted = self._words[HALF // 8 :]

    @classmethod
    def open(cls, path: str) -> Self:
        return cls(Path(path))

    def _get(self, at: int) -> int:
        return int(self._words[at])

    @property
    def wish(self) -> int:
        """PAUSE, QUIT, or the number of a job, from 1."""
        return self._get(0)

    @wish.setter
    def wish(self, value: int) -> None:
        self._words[0] = value

    @property
    def state(self) -> int:
        """The number of the job that runs; 0 while none does and the GPU is idle."""
        return self._get(1)

    @state.setter
    def state(self, value: int) -> None:
        self._words[1] = value

    @property
    def wrong(self) -> int:
        """Checks whose outcome was not the first one's."""
        return self._get(2)

    @wrong.setter
    def wrong(self, value: int) -> None:
        self._words[2] = value

    @property
    def checks(self) -> int:
        return self._get(3)

    @checks.setter
    def checks(self, value: int) -> None:
        self._words[3] = value

    @property
    def marks(self) -> int:
        """Marks that the GPU has passed since the job began."""
        return int(self.counted[0])
