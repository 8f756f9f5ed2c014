# SPDX-License-Identifier: Apache-2.0
"""Promises of the real mechanisms, also with other claims."""

from msgspec.structs import replace

from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.mps import MpsMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.promise import Claim, Promise, stack_of
from gpushare.model.share import Decision

NOTHING = Claim()
REAL = tuple(one.promise for one in (Exclusive, Timeslice, MpsMechanism, DriverLimit, Guard))


def stack(decision: Decision) -> tuple[Promise, ...]:
    return stack_of(REAL, decision.mechanisms)


def claiming(
    promise: Promise,
    *,
    memory: Claim = NOTHING,
    compute: Claim = NOTHING,
    fault: Claim = NOTHING,
) -> Promise:
    """The mechanism as it behaves, claiming only this."""
    return replace(promise, memory=memory, compute=compute, fault=fault, devices=NOTHING, also=())
