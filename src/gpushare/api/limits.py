# SPDX-License-Identifier: Apache-2.0
"""How often somebody may ask, and how often be wrong."""

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from gpushare.model.errors import RateLimitedError

FREE_FAILURES = 10  # in a row, before an address has to wait
LONGEST_WAIT = 60.0  # seconds
_FORGIVEN_SECONDS = 600.0  # after so long without a failure it is as if there had been none
_MOST = 10_000  # callers and addresses that are remembered
_OWN_BITS = 64  # of an IPv6 address: the rest its owner chooses at will

T = TypeVar("T")


class _Recent(OrderedDict[str, T], Generic[T]):
    """Forgets what was longest not put."""

    def put(self, key: str, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _MOST:
            self.popitem(last=False)


class Buckets:
    """Each caller's calls: `rate` a second on the long run, `burst` at once; rate 0: any number."""

    def __init__(self, rate: float, burst: int, elapsed: Callable[[], float]) -> None:
        self._rate, self._burst, self._elapsed = rate, float(burst), elapsed
        self._left: _Recent[tuple[float, float]] = _Recent()

    def take(self, caller: str) -> None:
        """Raises RateLimitedError."""
        if not self._rate:
            return
        now = self._elapsed()
        left, then = self._left.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        if left < 1:
            after = math.ceil((1 - left) / self._rate)
            raise RateLimitedError(
                "you ask too often",
                f"{self._rate:g} calls a second are kept up for each caller",
                f"try again in {after} s",
                after,
            )
        self._left.put(caller, (left - 1, now))


class Failures:
    """Addresses from which callers come that nobody knows."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._seen: _Recent[tuple[int, float]] = _Recent()

    def add(self, address: str) -> None:
        count, _ = self._of(address)
        self._seen.put(network(address), (count + 1, self._elapsed()))

    def check(self, address: str) -> None:
        """Raises RateLimitedError while the address has to wait; it is refused, never kept."""
        count, last = self._of(address)
        left = last + _wait(count) - self._elapsed()
        if left > 0:
            after = math.ceil(left)
            raise RateLimitedError(
                "too many callers from your address had no good token",
                f"there were {count}, one after the other",
                f"try again in {after} s; a good token is let in at once",
                after,
            )

    def _of(self, address: str) -> tuple[int, float]:
        now = self._elapsed()
        count, last = self._seen.get(network(address), (0, now))
        return (count, last) if now - last < _FORGIVEN_SECONDS else (0, now)


def network(address: str) -> str:
    """What stands for all addresses that one sender may take."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> _OWN_BITS << _OWN_BITS))


def _wait(failures: int) -> float:
    """Seconds, doubling."""
    beyond = failures - FREE_FAILURES
    return 0.0 if beyond < 0 else min(LONGEST_WAIT, 2.0 ** min(beyond, 10))
