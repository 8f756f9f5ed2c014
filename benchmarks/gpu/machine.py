# SPDX-License-Identifier: Apache-2.0
"""Where a result was measured, and where it is written."""

import json
import os
import platform
import subprocess
import sys
import threading
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import pynvml

ROOT = Path(__file__).parents[2]
NATIVE = Path(os.environ.get("GPUSHARE_NATIVE", ROOT / "native" / "build"))
GUARD = NATIVE / "guard" / "libgpushare.so"


def smoke() -> bool:
    """GPUSHARE_BENCH_SMOKE=1: programs run on the CPU with tiny shapes, to try the road out."""
    return os.environ.get("GPUSHARE_BENCH_SMOKE") == "1"


def first_gpu() -> dict[str, Any]:
    if smoke():
        return {"name": "CPU", "uuid": "GPU-none", "memory_total": 0, "memory_used": 0}
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "name": pynvml.nvmlDeviceGetName(handle),
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "memory_total": memory.total,
        "memory_used": memory.used,
        "sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
    }


def card_used() -> int:
    """Bytes in use on the first GPU, by everyone."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


def sm_clock() -> int | None:
    """MHz, now."""
    if smoke():
        return None
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    return int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))


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
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    why = pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    return (
        pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        pynvml.nvmlDeviceGetPowerUsage(handle) // 1000,
        int(bool(why & pynvml.nvmlClocksEventReasonSwPowerCap)),
    )


def pace() -> Pace:
    """One that has begun."""
    begun = Pace()
    begun.start()
    return begun


def process_used(pid: int) -> int | None:
    """Bytes that NVML attributes to a process on the first GPU."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    seen = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
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


def _commit() -> str:
    """As GPUSHARE_BENCH_COMMIT says, where the checkout is not what it was made from; else HEAD."""
    return os.environ.get("GPUSHARE_BENCH_COMMIT") or _object("HEAD")


def _tree() -> str:
    """Id of the sources' content; GPUSHARE_BENCH_TREE where the checkout does not say."""
    return os.environ.get("GPUSHARE_BENCH_TREE") or _object("HEAD^{tree}")


def _object(name: str) -> str:
    answer = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", name], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else ""


def library_hash() -> str:
    """SHA-256 of the guard's library; "" where it is not built."""
    return sha256(GUARD.read_bytes()).hexdigest() if GUARD.exists() else ""


def description() -> dict[str, Any]:
    return {
        "gpu": first_gpu(),
        "cpu_cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {p: _version(p) for p in ("torch", "torchvision", "cupy-cuda13x", "jax")},
        "commit": _commit(),
        "tree": _tree(),
        "library": library_hash(),
    }


def stamp() -> dict[str, Any]:
    """For rows that are added to a file one by one."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit()[:12],
        "sm_clock_mhz": sm_clock(),
    }


def results_folder() -> Path:
    """`benchmarks/results/<gpu>`, or what GPUSHARE_BENCH_RESULTS names."""
    slug = first_gpu()["name"].removeprefix("NVIDIA ").lower().replace(" ", "-")
    folder = Path(os.environ.get("GPUSHARE_BENCH_RESULTS", ROOT / "benchmarks" / "results" / slug))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load(part: str) -> Any:
    """The result that was saved before; None without one."""
    target = results_folder() / f"{part}.json"
    return json.loads(target.read_text())["result"] if target.exists() else None


def save(part: str, result: object, module: str = "benchmarks.gpu") -> Path:
    body = {
        "benchmark": part,
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": description(),
        "result": result,
    }
    target = results_folder() / f"{part}.json"
    target.write_text(json.dumps(body, indent=1) + "\n")
    return target
