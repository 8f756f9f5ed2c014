# SPDX-License-Identifier: Apache-2.0
"""A program of a benchmark that talks in JSON lines, as its runner sees it."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from . import machine

# For a program to start, or to come to rest; a smoke run may be on a busy machine.
PATIENCE = 300.0 if machine.smoke() else 90.0


class Program:
    """A module of `benchmarks.gpu`; `arguments` follow its name, `before` starts it."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        before: Sequence[str] = (),
    ) -> None:
        device = ["--device", "cpu", "--smoke"] if machine.smoke() else []
        paths = os.pathsep.join([str(machine.ROOT), os.environ.get("PYTHONPATH", "")])
        self.name = module
        self._process = subprocess.Popen(
            [*before, sys.executable, "-m", f"benchmarks.gpu.{module}", *arguments, *device],
            env={**os.environ, "PYTHONPATH": paths, **env}, cwd=machine.ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def heard(self, patience: float) -> Any:
        """The next line, if it comes within `patience` seconds; raises when there are no more."""
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            return None
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait(PATIENCE)}")
        return json.loads(line)

    def hear(self, patience: float = PATIENCE) -> Any:
        """The next line of the program; raises when it has ended or says nothing."""
        words = self.heard(patience)
        if words is None:
            self._process.kill()
            raise RuntimeError(f"{self.name} printed nothing for {patience:.0f} s")
        return words

    def tell(self, words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def ask(self, words: object, patience: float = PATIENCE) -> Any:
        self.tell(words)
        return self.hear(patience)

    def kill(self) -> None:
        """For one that is off the GPU, and so would not end by itself."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def end(self) -> None:
        """Killed when it does not end by itself."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(PATIENCE)
