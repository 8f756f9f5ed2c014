# SPDX-License-Identifier: Apache-2.0
"""The daemon's numbers as samples of the metrics table."""

from collections import Counter
from collections.abc import Iterable, Sequence

from gpushare.api.metrics import Sample, render
from gpushare.model.version import __version__
from gpushare.model.view import GpuView, ShareView

from .core import Core


def text(core: Core, shares: Sequence[ShareView], gpus: Sequence[GpuView], driver: str) -> bytes:
    states = Counter(share.state for share in shares)
    samples: dict[str, Iterable[Sample]] = {
        "gpushare_info": [Sample(value=1, labels=(__version__, driver))],
        "gpushare_shares": [Sample(value=n, labels=(state,)) for state, n in states.items()],
        "gpushare_reconcile_seconds": [Sample(value=core.pass_seconds)],
        "gpushare_reconcile_failures_total": [Sample(value=core.failed_passes)],
    }
    return render(samples | _gpus(gpus) | _shares(core, shares))


def _gpus(gpus: Sequence[GpuView]) -> dict[str, Iterable[Sample]]:
    def each(values: Iterable[float | None]) -> list[Sample]:
        pairs = zip(gpus, values, strict=True)
        return [
            Sample(value=value, labels=(gpu.uuid, str(gpu.index)))
            for gpu, value in pairs
            if value is not None
        ]

    return {
        "gpushare_gpu_memory_total_bytes": each(gpu.memory.total for gpu in gpus),
        "gpushare_gpu_memory_reserved_bytes": each(gpu.memory.reserved for gpu in gpus),
        "gpushare_gpu_memory_granted_bytes": each(gpu.memory.granted for gpu in gpus),
        "gpushare_gpu_memory_used_bytes": each(gpu.memory.used for gpu in gpus),
        "gpushare_gpu_compute_granted_ratio": each(gpu.compute.granted / 100 for gpu in gpus),
        "gpushare_gpu_utilisation_ratio": each(
            None if gpu.compute.used is None else gpu.compute.used / 100 for gpu in gpus
        ),
        "gpushare_gpu_lost": each(float(gpu.health.lost) for gpu in gpus),
    }


def _shares(core: Core, shares: Sequence[ShareView]) -> dict[str, Iterable[Sample]]:
    def each(values: Iterable[float | None]) -> list[Sample]:
        pairs = zip(shares, values, strict=True)
        return [
            Sample(value=value, labels=(share.id, share.name, share.user))
            for share, value in pairs
            if value is not None
        ]

    return {
        "gpushare_share_memory_limit_bytes": each(share.memory.limit for share in shares),
        "gpushare_share_memory_used_bytes": each(share.memory.used for share in shares),
        "gpushare_share_memory_peak_bytes": each(share.memory.peak for share in shares),
        "gpushare_share_denied_total": each(core.observer.last(s.id).denied for s in shares),
        "gpushare_share_processes": each(len(share.pids) for share in shares),
    }
