# SPDX-License-Identifier: Apache-2.0
"""A call that came too soon after others was not carried out: it is made again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from gpushare.model.errors import RateLimitedError

PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds, on the average

T = TypeVar("T")


def retried(attempt: Callable[[], T], *, sleep: Callable[[float], None] = time.sleep) -> T:
    """Ask until it is not too often, some seconds at most; then RateLimitedError."""
    for pause in PAUSES:
        try:
            return attempt()
        except RateLimitedError:
            # Those who were refused together should not come back together.
            sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
    return attempt()
