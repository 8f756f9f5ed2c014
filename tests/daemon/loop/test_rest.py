# SPDX-License-Identifier: Apache-2.0
"""The pause between two passes."""

import asyncio

import pytest

from support.world.session import live


@pytest.mark.parametrize("steps", range(6))
def test_it_is_cancelled_even_while_a_program_ends(world, state, steps: int) -> None:
    async def cancelled(daemon) -> bool:
        """Cancelled some steps of the event loop after the end; True if it had ended before."""
        _, process = await daemon.run(8)
        await daemon.tick()
        resting = asyncio.create_task(daemon.parts.rest.rest(60))
        await asyncio.sleep(0)
        world.end(process)
        for _ in range(steps):
            await asyncio.sleep(0)
        if not resting.cancel():
            return True
        await asyncio.wait([resting])
        return resting.cancelled()

    assert live(world, state, cancelled)


def test_it_ends_when_a_program_ends(world, state) -> None:
    async def ended(daemon) -> None:
        _, process = await daemon.run(8)
        await daemon.tick()
        resting = asyncio.create_task(daemon.parts.rest.rest(3600))
        await asyncio.sleep(0)
        world.end(process)
        async with asyncio.timeout(60):
            await resting

    live(world, state, ended)
