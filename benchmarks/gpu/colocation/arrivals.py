# SPDX-License-Identifier: Apache-2.0
"""When requests arrive: the same for every configuration."""

import zlib

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]


def poisson(service: str, rate: float, seconds: float, seed: int) -> Times:
    """Seconds from the window's begin; `rate` per second."""
    chance = np.random.default_rng([zlib.crc32(service.encode()), round(rate * 1000), seed])
    gaps = chance.exponential(1 / rate, size=int(rate * seconds * 1.5) + 100)
    times = np.cumsum(gaps)
    return times[times < seconds]
