# SPDX-License-Identifier: Apache-2.0
"""What the probe is refused is not held against the share."""

import asyncio

from gpushare.daemon.observe.observer import Observer
from gpushare.mechanisms.mechanism import Observation
from support.shares import share


class HostPorts:
    """A region whose counter of refusals the test sets."""

    denied = 0

    class Clock:
        @staticmethod
        def elapsed() -> float:
            return 0.0

    clock = Clock()

    @property
    def mechanisms(self):
        return self

    def put_peak(self, *_) -> None:
        """The region's counter stays as it is."""

    def observe(self, *_) -> Observation:
        return Observation(denied=self.denied)


def test_only_what_programs_were_refused_is_counted():
    ports, one = HostPorts(), share()
    observer = Observer(ports)

    async def probe() -> str:
        ports.denied += 7
        await observer.look([one])
        assert observer.last(one.id).denied is None, "whose refusals they are is not known yet"
        return "proof"

    async def story() -> None:
        ports.denied = 1
        assert await observer.probing(one, probe) == "proof"
        ports.denied += 2
        await observer.look([one])
        assert observer.last(one.id).denied == 3

    asyncio.run(story())
