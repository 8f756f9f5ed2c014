# SPDX-License-Identifier: Apache-2.0
"""The GPU that is measured, and where results of it are written."""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pynvml
from benchmarks import provenance
from benchmarks.provenance import GUARD, NATIVE, ROOT

__all__ = ["GUARD", "NATIVE", "ROOT"]
PACKAGES = ("torch", "torchvision", "cupy-cuda13x", "jax", "numpy")
_SAME = ("tree", "libgpushare", "gpu")  # of two commands that fill one file


def smoke() -> bool:
    """GPUSHARE_BENCH_SMOKE=1: programs run on the CPU with tiny shapes, to try the road out."""
    return os.environ.get("GPUSHARE_BENCH_SMOKE") == "1"


def bare() -> bool:
    """A smoke run without a simulated machine: there are no shares."""
    return smoke() and "GPUSHARE_SIM_MACHINE" not in os.environ


def index() -> int:
    """Number of the GPU that is measured, as NVML counts."""
    return int(os.environ.get("GPUSHARE_BENCH_GPU", "0"))


@cache
def _handle() -> Any:
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByIndex(index())


def first_gpu() -> dict[str, Any]:
    """The one that is measured."""
    if bare():
        return {"name": "CPU", "uuid": "GPU-none", "memory_total": 0, "memory_used": 0}
    memory = pynvml.nvmlDeviceGetMemoryInfo(_handle())
    return {
        "name": pynvml.nvmlDeviceGetName(_handle()),
        "uuid": pynvml.nvmlDeviceGetUUID(_handle()),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "memory_total": memory.total,
        "memory_used": memory.used,
        "clocks": clocks(),
    }


def begin() -> dict[str, Any]:
    """The GPU; raises at once where a result could not be written in the end."""
    provenance.sources()
    provenance.guard()
    return first_gpu()


def selected() -> dict[str, str]:
    """For programs outside shares, where a machine has several GPUs."""
    if bare() or "GPUSHARE_BENCH_GPU" not in os.environ:
        return {}
    # A number: HAMi-core reads no other name. NVML counts in the order of PCI addresses.
    return {"CUDA_VISIBLE_DEVICES": str(index()), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def clocks() -> dict[str, Any]:
    """MHz: now, of applications, at most; and the driver's bits for what holds them down."""
    kinds = {"sm": pynvml.NVML_CLOCK_SM, "memory": pynvml.NVML_CLOCK_MEM}
    calls = {
        "now": pynvml.nvmlDeviceGetClockInfo,
        "applications": pynvml.nvmlDeviceGetApplicationsClock,
        "max": pynvml.nvmlDeviceGetMaxClockInfo,
    }
    found: dict[str, Any] = {
        name: {kind: _known(call, code) for kind, code in kinds.items()}
        for name, call in calls.items()
    }
    return {**found, "events": _known(pynvml.nvmlDeviceGetCurrentClocksEventReasons)}


def _known(call: Callable[..., int], *more: int) -> int | None:
    """None: this driver does not tell."""
    with contextlib.suppress(pynvml.NVMLError):
        return int(call(_handle(), *more))
    return None


def card_used() -> int:
    """Bytes in use on the GPU, by everyone."""
    return int(pynvml.nvmlDeviceGetMemoryInfo(_handle()).used)


def sm_clock() -> int | None:
    """MHz, now."""
    return None if bare() else _known(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM)


class Pace(threading.Thread):
    """How fast the GPU ran and what it drew meanwhile: NVML's word, ten times a second."""

    PERIOD = 0.1

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._samples: list[tuple[int, int, int]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not smoke() and not self._over.wait(self.PERIOD):
            self._samples.append(_pace())

    def end(self) -> dict[str, float | None]:
        """Means, and the part of the time in which power held the clock down; None: not known."""
        self._over.set()
        self.join()
        names = ("sm_mhz", "power_w", "power_capped")
        if not self._samples:
            return dict.fromkeys(names)
        means = [sum(each) / len(each) for each in zip(*self._samples, strict=True)]
        return {name: round(mean, 2) for name, mean in zip(names, means, strict=True)}


def _pace() -> tuple[int, int, int]:
    why = pynvml.nvmlDeviceGetCurrentClocksEventReasons(_handle())
    return (
        pynvml.nvmlDeviceGetClockInfo(_handle(), pynvml.NVML_CLOCK_SM),
        pynvml.nvmlDeviceGetPowerUsage(_handle()) // 1000,
        int(bool(why & pynvml.nvmlClocksEventReasonSwPowerCap)),
    )


def pace() -> Pace:
    """One that has begun."""
    begun = Pace()
    begun.start()
    return begun


def process_used(pid: int) -> int | None:
    """Bytes that NVML attributes to a process on the GPU."""
    seen = pynvml.nvmlDeviceGetComputeRunningProcesses(_handle())
    return next((process.usedGpuMemory for process in seen if process.pid == pid), None)


class Watch(threading.Thread):
    """The most the card's use was seen to grow by, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.samples = 0, 0
        self._base, self._stop_now = card_used(), threading.Event()

    def run(self) -> None:
        while not self._stop_now.is_set():
            self.most = max(self.most, card_used() - self._base)
            self.samples += 1

    def end(self) -> None:
        self._stop_now.set()
        self.join()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def stamp() -> dict[str, Any]:
    """For rows that are added to a file one by one."""
    return {"date": provenance.now(), "sm_clock_mhz": sm_clock()}


@cache
def run_name() -> str:
    uuid = str(first_gpu()["uuid"]).removeprefix("GPU-")
    return f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}-{uuid[:8]}"


def results_folder() -> Path:
    """A folder of this run's own: `benchmarks/results/GPU/runs/RUN`, or GPUSHARE_BENCH_RESULTS.

    Figures of different runs are never in one file.
    """
    slug = first_gpu()["name"].removeprefix("NVIDIA ").lower().replace(" ", "-")
    usual = ROOT / "benchmarks" / "results" / slug / "runs"
    chosen = os.environ.get("GPUSHARE_BENCH_RESULTS")
    return Path(chosen) if chosen else usual / run_name()


def load(part: str) -> Any:
    """What this run has of the part already; raises when the file is of another run."""
    target = results_folder() / f"{part}.json"
    if not target.exists():
        return None
    found, mine = json.loads(target.read_text()), description("")
    if any(_identity(found[name]) != _identity(mine[name]) for name in _SAME):
        raise provenance.NoProvenanceError(
            f"{target} was measured with another tree, library or GPU: name another folder in "
            "GPUSHARE_BENCH_RESULTS"
        )
    return found["result"]


def _identity(fact: Any) -> Any:
    return fact.get("uuid", fact) if isinstance(fact, dict) else fact


def description(module: str) -> dict[str, Any]:
    return {
        **provenance.facts(module),
        "gpu": first_gpu(),
        "simulated": "GPUSHARE_SIM_MACHINE" in os.environ,
        "packages": {package: _version(package) for package in PACKAGES},
    }


def save(
    part: str,
    result: object,
    module: str = "benchmarks.gpu",
    *,
    solo_ms: Mapping[str, float] | None = None,
    samples: object = None,
) -> Path:
    """`solo_ms`: what programs took alone in this run; None where no time is compared."""
    body = {"benchmark": part, **description(module), "solo_ms": solo_ms, "result": result}
    folder = results_folder()
    if samples is not None:
        provenance.write_samples(folder / f"{part}.samples.json.gz", samples)
    return provenance.write(folder / f"{part}.json", body)
