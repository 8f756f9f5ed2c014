# SPDX-License-Identifier: Apache-2.0
"""Repeats calls that the daemon refused because of its rate limit."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from gpushare.model.errors import RateLimitedError

PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds, on average

T = TypeVar("T")


def retried(attempt: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of `attempt`, repeated for a few seconds; then raises RateLimitedError."""
    for pause in PAUSES:
        try:
            return attempt()
        except RateLimitedError:
            # Callers that were refused together must not retry together.
            sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
    return attempt()
