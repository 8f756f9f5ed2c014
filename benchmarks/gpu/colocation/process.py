# SPDX-License-Identifier: Apache-2.0
"""Handles of the two programs, as the runner sees them."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gpu import machine
from benchmarks.gpu.program import PATIENCE, Program

from .page import PAUSE, QUIT, Page
from .progress import Profile, Sampler, Trace
from .stats import Window


class Services(Program):
    def __init__(self, names: Sequence[str], env: Mapping[str, str]) -> None:
        super().__init__("colocation.lc", [",".join(names)], env)
        self.checksums: dict[str, int] = {}

    def ready(self) -> None:
        self.checksums = self.hear()["ready"]

    def pace(self, service: str, requests: int) -> float:
        """Seconds of one request when they come back to back."""
        found = self.ask({"do": "pace", "service": service, "requests": requests})
        return float(found["service_s"])

    def window(self, service: str, rate: float, seconds: float, seed: int) -> Window:
        wish = {"do": "window", "service": service, "rate": rate, "seconds": seconds, "seed": seed}
        pace = machine.pace()
        answer = self.ask({**wish, "patience": seconds / 4}, 2 * seconds + 20)
        return Window.of(answer, pace.end())


class Jobs(Program):
    """A best-effort program with several jobs, of which at most one runs."""

    def __init__(self, names: Sequence[str], env: Mapping[str, str]) -> None:
        self._names, self._per_step = list(names), [0] * len(names)
        self._folder = tempfile.TemporaryDirectory(prefix="gs-page-", dir="/dev/shm")
        path = Path(self._folder.name) / "page"
        self.page = Page(path)
        super().__init__("colocation.be", [",".join(names), str(path)], env)

    def ready(self) -> None:
        self._per_step = self.hear()["ready"]

    def start(self, job: str) -> None:
        self._wish(self._names.index(job) + 1)

    def pause(self) -> None:
        """Returns when its work on the GPU has ended."""
        self._wish(PAUSE)

    def _wish(self, number: int) -> None:
        self.page.wish = number
        end = time.monotonic() + PATIENCE
        while self.page.state != number:
            if not self.running or time.monotonic() > end:
                raise RuntimeError(f"the job did not come to state {number}")
            time.sleep(0.001)

    def watch(self) -> Sampler:
        sampler = Sampler(self.page)
        sampler.start()
        return sampler

    def trace(self, seconds: float) -> Trace:
        sampler = self.watch()
        time.sleep(seconds)
        return sampler.end()

    def profile(self, job: str, trace: Trace) -> Profile:
        return Profile.of(trace, self._per_step[self._names.index(job)])

    def end(self) -> None:
        self.page.wish = QUIT
        super().end()
        self._folder.cleanup()
