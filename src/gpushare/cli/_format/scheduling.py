# SPDX-License-Identifier: Apache-2.0
"""What the gate of a share counted, in words for people."""

from gpushare.model.spec import Priority
from gpushare.model.view import GateView

_MILLI, _MICRO = 1e3, 1e6


def gate_lines(gate: GateView | None) -> list[str]:
    """Only what its rank makes it count; nothing where it never waited or was held back."""
    if gate is None:
        return []
    lines = [f"longest launch {_span(gate.longest_launch)}"] if gate.longest_launch else []
    if gate.waits:
        lines.append(f"waited {gate.waits} times, {_span(gate.waited)} in all")
    if gate.turns:
        lines.append(
            f"{gate.turns} turns: throttled {_span(gate.throttled)} of {_span(gate.wanted)}, "
            f"ran {_span(gate.overrun)} over"
        )
    if gate.slice:
        lines.append(f"has the GPU for {_span(gate.slice)} at once")
    return lines + _by_rank(gate)


def _by_rank(gate: GateView) -> list[str]:
    if gate.rank is Priority.LOW:
        text = f"makes way within {_span(gate.quantum)}, looked {gate.fences} times, "
        return [f"{text}ran {gate.floors} times to not starve"]
    if gate.rank is Priority.HIGH:
        stuck = f", overruled {gate.stuck} times" if gate.stuck else ""
        text = f"went first {gate.raises} times, {_span(gate.raised)} in all, "
        return [f"{text}bridges pauses of {_span(gate.grace)}{stuck}"]
    return []


def _span(seconds: float) -> str:
    """`1.5 s`, `20 ms`, `150 us`."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    if seconds >= 1 / _MILLI:
        return f"{seconds * _MILLI:.3g} ms"
    return f"{seconds * _MICRO:.3g} us"
