# SPDX-License-Identifier: Apache-2.0
"""Tables of what was measured without gpushare: the GPU, MPS, and another harness.

Their files lie in `earlier`: they are of one run, and no guard takes part in what they show.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.tables import table


def _part(folder: Path, name: str) -> Any:
    path = folder / "earlier" / f"{name}.json"
    return json.loads(path.read_text())["result"] if path.exists() else {}


def kernels_table(folder: Path) -> str | None:
    found = _part(folder, "kernels")
    bounds = list(next(iter(found.values()))["longer_than_us"]) if found else []
    head = ["job", "kernels a step", *(f"time in those above {us} µs" for us in bounds), "longest"]
    return table(
        head,
        (
            [
                job, each["kernels_per_step"],
                *(f"{100 * each['longer_than_us'][us]:.0f} %" for us in bounds),
                f"{max(each['longest_us'].values()):.0f} µs",
            ]
            for job, each in found.items()
        ),
    )  # fmt: skip


def crowd_table(folder: Path) -> str | None:
    """Against the services without MPS, before and after."""
    found = _part(folder, "crowd")
    if not found:
        return None
    names = list(found["native_ms"][0])
    native = {name: statistics.fmean(each[name] for each in found["native_ms"]) for name in names}
    return table(
        ["idle programs on the GPU", *(f"{name}: request / without MPS" for name in names)],
        (
            [row["idle"], *(f"{row['ms'][name] / native[name]:.3f}" for name in names)]
            for row in found["rows"]
        ),
    )


def peers_table(_folder: Path) -> str | None:
    return table(
        ["service", "job", "system", "response p99 / solo", "service p99 / solo", "job / solo"],
        (
            [*pair, peer.name, peer.response, peer.service, f"{peer.be:.2f}"]
            for pair, found in peers.COLOCATION.items()
            for peer in found
        ),
    )
