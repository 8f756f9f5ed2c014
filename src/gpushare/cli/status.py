# SPDX-License-Identifier: Apache-2.0
"""`gpushare` without a command: GPUs, shares and queue in at most ten lines."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from gpushare.cli._format import cordons, escapes
from gpushare.cli._format.fitting import bounded
from gpushare.cli._format.shares import gpu_label, share_name
from gpushare.config.printable import printable
from gpushare.model.errors import DaemonUnreachableError
from gpushare.model.share import State

from ._connect import client, gpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpushare.model.view import GpuView, ShareView

_GIB = 1 << 30
_LINES = 8  # for GPUs and waiting shares; the sum and the hint take two more


def status() -> None:
    """Print the GPUs, the shares, the queue and a hint."""
    notices: Sequence[str] = ()
    try:
        shares: Sequence[ShareView] | None = client().shares()
        notices = client().version().notices
    except DaemonUnreachableError:
        shares = None
    for line in (*lines(gpus(), shares), *_found(notices)):
        click.echo(bounded(printable(line)))


def lines(gpus: "Sequence[GpuView]", shares: "Sequence[ShareView] | None") -> list[str]:
    """`shares` None: no daemon answers."""
    queue = [share for share in shares or () if share.state is State.QUEUED]
    waiting = [_waiting(share) for share in queue[:3]]
    gpu_lines = [_gpu_line(gpu) for gpu in gpus]
    # Waiting shares come first: they are what the user has to decide about.
    room = _LINES - len(waiting)
    if len(gpu_lines) > room:
        gpu_lines = [
            *gpu_lines[: room - 1],
            f"… and {len(gpu_lines) - room + 1} more: gpushare gpus",
        ]
    return [*(gpu_lines or ["no GPU found"]), _sum(shares), *waiting, _hint(gpus, shares)]


def _found(notices: "Sequence[str]") -> list[str]:
    """In place of all of them, so that the overview stays short."""
    count = f"{len(notices)} things" if len(notices) > 1 else "1 thing"
    return [f"state: {count} found at start: gpushare daemon status"] if notices else []


def _gpu_line(gpu: "GpuView") -> str:
    total, granted = gpu.memory.total / _GIB, gpu.memory.granted / _GIB
    busy = "" if gpu.compute.used is None else f", {gpu.compute.used}% busy"
    state = " LOST" if gpu.health.lost else ""
    if not gpu.health.lost and (withheld := cordons.brief(gpu) or gpu.health.withheld):
        state = f" ({withheld})"
    simulated = " (simulated)" if gpu.simulated else ""
    return f"gpu {gpu_label(gpu)}{simulated}{state}: {granted:.1f} of {total:.1f} GiB granted{busy}"


def _sum(shares: "Sequence[ShareView] | None") -> str:
    if shares is None:
        return "no daemon answers"
    if not shares:
        return "no shares"
    counts = Counter(share.state for share in shares)
    parts = [f"{counts[state]} {state}" for state in State if counts[state]]
    if escaped := sum(map(escapes.active, shares)):
        parts.append(f"{escaped} past a limit")
    return "shares: " + ", ".join(parts)


def _waiting(share: "ShareView") -> str:
    place = f" #{share.queue.position}" if share.queue else ""
    return f"  {share_name(share)} queued{place}: waits for {share.reason or 'its turn'}"


def _hint(gpus: "Sequence[GpuView]", shares: "Sequence[ShareView] | None") -> str:
    if not gpus:
        return "hint: try it on a simulated machine: gpushare simulate h200-1 -- bash"
    if shares is None:
        return "hint: gpushare daemon --detach"
    return "hint: gpushare ps" if shares else "hint: gpushare run -m 8GiB -- python train.py"
