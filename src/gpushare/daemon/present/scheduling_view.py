# SPDX-License-Identifier: Apache-2.0
"""What the seats of a share count, in words and seconds."""

from gpushare.mechanisms.mechanism import Observation
from gpushare.model.share import Share
from gpushare.model.view import GateView

NS = 1e9
_US = 1e6


def gate_view(share: Share, seen: Observation) -> GateView | None:
    """Over all GPUs of the share; None where it has no seat."""
    seats = list(seen.seats.values())
    if not seats:
        return None

    def total(name: str) -> int:
        return sum(getattr(seat, name) for seat in seats)

    wanted, open_ = total("wanted_ns"), total("open_ns")
    return GateView(
        rank=share.spec.priority,
        waits=total("waits"),
        waited=total("waited_ns") / NS,
        longest_launch=max(seat.longest_ns for seat in seats) / NS,
        busy=total("busy_ns") / NS,
        turns=total("turns"),
        wanted=wanted / NS,
        throttled=max(0, wanted - open_) / NS,
        overrun=total("overrun_ns") / NS,
        quantum=max(seat.policy.quantum_us for seat in seats) / _US,
        fences=total("fences"),
        floors=total("starvation_runs"),
        raises=total("preemptions"),
        raised=total("preempt_ns") / NS,
        grace=max(seat.grace_ns for seat in seats) / NS,
        stuck=total("overrides"),
        slice=max(seat.timeslice_us for seat in seats) / _US,
    )
