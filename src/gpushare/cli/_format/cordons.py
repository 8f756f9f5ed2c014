# SPDX-License-Identifier: Apache-2.0
"""Cordons of GPUs, as text for people."""

from collections.abc import Iterator, Sequence

from gpushare.model.operations.cordon import NODE, CordonChange
from gpushare.model.view import GpuView


def brief(gpu: GpuView) -> str:
    """For the column HEALTH: `cordoned`, `draining` or `drained`; "" for a GPU that is offered."""
    if not gpu.cordons:
        return ""
    if not any(cordon.drain for cordon in gpu.cordons):
        return "cordoned"
    return "draining" if gpu.memory.granted else "drained"


def ps_notes(gpus: Sequence[GpuView]) -> Iterator[str]:
    """For `ps`: GPUs that take no new share."""
    for gpu in gpus:
        if gpu.cordons:
            yield f"GPU {gpu.index} takes no new shares: it {gpu.cordons[0].text}"


def target_name(target: str) -> str:
    """`GPU 0`, or `every GPU`."""
    return "every GPU" if target == NODE else f"GPU {target}"


def remaining(change: CordonChange) -> str:
    """What still holds new shares off the target; "" for nothing."""
    return "; ".join(f"it {cordon.text}" for cordon in change.now)
