# SPDX-License-Identifier: Apache-2.0
"""Lets the requests of several users begin in turn, so that many of one delay another's by one.

Requests are handled in one thread, and most without a pause, so the order in which they begin is
the order in which they are served. One begins in each round of the event loop. Of those that wait
the next is that of the user whose turn was longest ago, whatever order they came in.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Turns:
    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._begun = False  # a request has begun in this round

    async def take(self, user: Hashable) -> None:
        """Return when it is the turn of the user's oldest request; at once if none waits."""
        if not self._begun:
            self._round()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user, deque()).append(turn)
        await turn

    def _round(self) -> None:
        self._begun = True
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """A request begins in this round; none waits for one whose client has gone."""
        self._begun = False
        while self._waiting:
            user, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                # Behind the others.
                self._waiting[user] = turns
            if not turn.done():
                turn.set_result(None)
                self._round()
                return
