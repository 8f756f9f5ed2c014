# SPDX-License-Identifier: Apache-2.0
"""Two real programs under two shares at once: ResNet-50 training and transformer inference.

Everything goes through `gpushare daemon`, `run`, `ps` and `verify`, over time-slicing and over MPS.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import machine
from .served import GPUSHARE, PATIENCE, Site, site

GIB = 1 << 30
HERE = Path(__file__).parent
SECONDS = 15
PROGRAMS = {
    "training": (24 * GIB, "50", "resnet50.py"),
    "inference": (8 * GIB, "50", "transformer.py"),
}


class Watch(threading.Thread):
    """The most memory of each share, twice a second: what `ps` shows, and what NVML says.

    NVML also counts the code of loaded kernels and what else the driver takes by itself.
    """

    def __init__(self, here: Site) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, int] = {}
        self.nvml: dict[str, int] = {}
        self._site, self._ended = here, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.5):
            for share in self._site.json("ps").get("items", ()):
                self._note(share["name"], share["memory"]["used"] or 0, share["pids"])

    def _note(self, name: str, used: int, pids: list[int]) -> None:
        nvml = sum(machine.process_used(pid) or 0 for pid in pids)
        for most, value in ((self.peaks, used), (self.nvml, nvml)):
            most[name] = max(value, most.get(name, value))

    def end(self) -> None:
        self._ended.set()
        self.join()


def start(here: Site, mechanism: str, name: str) -> subprocess.Popen[str]:
    limit, compute, program = PROGRAMS[name]
    share = ["-m", f"{limit // GIB}GiB", "--mechanism", mechanism, "--name", name]
    share += ["-c", compute] if mechanism == "mps" else []
    command = [sys.executable, str(HERE / program), "--seconds", str(SECONDS)]
    return subprocess.Popen(
        [*GPUSHARE, "run", *share, "--", *command], env=here.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=PATIENCE)
    if process.returncode:
        return {"failed": errors[-2000:], "exit": process.returncode}
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def both(here: Site, mechanism: str) -> dict[str, Any]:
    """Start both, verify both while they run, wait for both."""
    running = {name: start(here, mechanism, name) for name in PROGRAMS}

    def up() -> bool:
        states = {s["name"]: s["state"] for s in here.json("ps").get("items", ())}
        ended = any(process.poll() is not None for process in running.values())
        return ended or all(states.get(name) == "running" for name in PROGRAMS)

    here.until(up, "both shares to run")
    watch = Watch(here)
    watch.start()
    time.sleep(8)
    shares = {share["name"]: share for share in here.json("ps").get("items", ())}
    verified = {name: here.json("verify", name) for name in PROGRAMS}
    answers = {name: _answer(process) for name, process in running.items()}
    watch.end()
    return {
        name: {
            "limit": PROGRAMS[name][0],
            "program": answers[name],
            "share": shares.get(name),
            "peak_used": watch.peaks.get(name),
            "peak_nvml": watch.nvml.get(name),
            "within_limit": watch.peaks.get(name, 0) <= PROGRAMS[name][0],
            "sees_its_own_total": answers[name].get("total_memory") == PROGRAMS[name][0],
            "verified": verified[name],
        }
        for name in PROGRAMS
    }


def measure() -> dict[str, Any]:
    machine.begin()
    with site() as here:
        return {mechanism: both(here, mechanism) for mechanism in ("timeslice", "mps")}
