# SPDX-License-Identifier: Apache-2.0
"""The pause between two passes."""

import asyncio

import pytest

from support.world.session import live


async def rest_and_end(daemon, seconds: float) -> asyncio.Task[None]:
    """A pause that has begun, and the end of a program in it."""
    _, process = await daemon.run(8)
    await daemon.tick()
    resting = asyncio.create_task(daemon.parts.rest.rest(seconds))
    await asyncio.sleep(0)
    daemon.world.end(process)
    return resting


@pytest.mark.parametrize("steps", range(6))
def test_it_is_cancelled_even_while_a_program_ends(world, state, steps: int) -> None:
    async def cancelled(daemon) -> bool:
        """Cancelled some steps of the event loop after the end; True if it had ended before."""
        resting = await rest_and_end(daemon, 60)
        for _ in range(steps):
            await asyncio.sleep(0)
        if not resting.cancel():
            return True
        await asyncio.wait([resting])
        return resting.cancelled()

    assert live(world, state, cancelled)


def test_it_ends_when_a_program_ends(world, state) -> None:
    async def ended(daemon) -> None:
        resting = await rest_and_end(daemon, 3600)
        async with asyncio.timeout(60):
            await resting

    live(world, state, ended)
