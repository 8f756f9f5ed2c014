# SPDX-License-Identifier: Apache-2.0
"""Limits on the rate of requests, and on failed authentication."""

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from gpushare.model.errors import RateLimitedError

FREE_FAILURES = 10  # in a row, before an address must wait
LONGEST_WAIT = 60.0  # seconds
_FORGIVEN_SECONDS = 600.0  # without a failure, after which the count starts again
MOST = 10_000  # callers and addresses to remember
_OWN_BITS = 64  # prefix of an IPv6 address; one sender can use every address in it

T = TypeVar("T")


class _Recent(OrderedDict[str, T], Generic[T]):
    """A dictionary that drops the entry that was put longest ago."""

    def put(self, key: str, value: T) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > MOST:
            self.popitem(last=False)


class Buckets:
    """A token bucket per caller: `rate` calls a second, `burst` at once; rate 0: no limit."""

    def __init__(self, rate: float, burst: int, elapsed: Callable[[], float]) -> None:
        self._rate, self._burst, self._elapsed = rate, float(burst), elapsed
        self._left: _Recent[tuple[float, float]] = _Recent()

    def put_limit(self, rate: float, burst: int) -> None:
        """Use these from the next call on; what callers have left of theirs stays."""
        self._rate, self._burst = rate, float(burst)

    def take(self, caller: str) -> None:
        """Raises RateLimitedError."""
        if not self._rate:
            return
        now = self._elapsed()
        left, then = self._left.get(caller, (self._burst, now))
        # The bucket is refilled when it is used, so no timer is needed.
        left = min(self._burst, left + (now - then) * self._rate)
        if left < 1:
            after = math.ceil((1 - left) / self._rate)
            raise RateLimitedError(
                "too many requests",
                f"the limit is {self._rate:g} requests per second for each caller",
                f"try again in {after} s",
                after,
            )
        # Refused calls are not stored and cost nothing.
        self._left.put(caller, (left - 1, now))


class Failures:
    """Failed authentication by address; waiting times double with each failure."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._seen: _Recent[tuple[int, float]] = _Recent()

    def add(self, address: str) -> None:
        """One more failure of the address, or of its IPv6 network."""
        count, _ = self._of(address)
        self._seen.put(network(address), (count + 1, self._elapsed()))

    def check(self, address: str) -> None:
        """Raises RateLimitedError while the address must wait; the request is not delayed."""
        count, last = self._of(address)
        left = last + _wait(count) - self._elapsed()
        if left > 0:
            after = math.ceil(left)
            raise RateLimitedError(
                "too many failed authentications from your address",
                f"{count} requests in a row had no valid token",
                f"try again in {after} s; a valid token is accepted immediately",
                after,
            )

    def _of(self, address: str) -> tuple[int, float]:
        now = self._elapsed()
        count, last = self._seen.get(network(address), (0, now))
        return (count, last) if now - last < _FORGIVEN_SECONDS else (0, now)


def network(address: str) -> str:
    """The key of an address: for IPv6 its /64 prefix, which one sender controls."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> _OWN_BITS << _OWN_BITS))


def _wait(failures: int) -> float:
    """Seconds to wait after so many failures."""
    beyond = failures - FREE_FAILURES
    return 0.0 if beyond < 0 else min(LONGEST_WAIT, 2.0 ** min(beyond, 10))
