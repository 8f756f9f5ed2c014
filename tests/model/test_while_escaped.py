# SPDX-License-Identifier: Apache-2.0
"""Levels while a limit is escaped."""

import pytest

from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.escape import EscapeCause, EscapeKind
from gpushare.model.ids import GpuId
from gpushare.model.promise import while_escaped
from gpushare.model.share import Enforcement, Level

GUARDED = (Timeslice.promise, Guard.promise)
COOPERATIVE = Enforcement(
    memory=Level.COOPERATIVE, compute=Level.COOPERATIVE, devices=Level.COOPERATIVE
)


def held(promised, stack, *kinds):
    causes = [EscapeCause(kind=kind, gpu=GpuId("GPU-0"), pid=7) for kind in kinds]
    now = while_escaped(promised, stack, causes)
    return {name for name in ("memory", "compute", "devices") if lower(now, promised, name)}


def lower(now, promised, name):
    lowered = getattr(now, name) is not getattr(promised, name)
    assert not lowered or getattr(now, name) is Level.REPORTED
    return lowered


@pytest.mark.parametrize(
    ("kind", "lowered"),
    [
        (EscapeKind.NO_GUARD, {"memory", "compute"}),
        (EscapeKind.STALE, {"memory", "compute"}),
        (EscapeKind.OVER_LIMIT, {"memory"}),
        (EscapeKind.OTHER_GPU, {"memory", "devices"}),
        (EscapeKind.IMPOSSIBLE, {"memory"}),
    ],
)
def test_each_kind_lowers_what_it_disproves(kind, lowered):
    assert held(COOPERATIVE, GUARDED, kind) == lowered


def test_without_an_escape_every_promise_stands():
    assert held(COOPERATIVE, GUARDED) == set()


def test_what_the_driver_enforces_needs_no_guard():
    promised = Enforcement(memory=Level.ENFORCED, compute=Level.COOPERATIVE)
    stack = (Timeslice.promise, DriverLimit.promise, Guard.promise)
    assert held(promised, stack, EscapeKind.NO_GUARD) == {"compute"}
    assert held(promised, stack, EscapeKind.OVER_LIMIT) == {"memory"}


def test_no_level_rises():
    promised = Enforcement(memory=Level.NONE, compute=Level.NONE, devices=Level.NONE)
    assert held(promised, GUARDED, *EscapeKind) == set()
