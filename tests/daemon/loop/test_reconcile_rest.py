# SPDX-License-Identifier: Apache-2.0
"""The pause between two passes."""

import asyncio

import pytest

from gpushare.daemon.loop.reconcile import Reconciler


@pytest.mark.parametrize("steps", range(4))
def test_it_is_called_off_also_while_a_program_ends(steps: int) -> None:
    async def called_off() -> bool:
        """So many steps of the loop after the bell; whether it had ended by itself before."""
        reconciler = object.__new__(Reconciler)  # nothing of it but its bell
        reconciler._wake = asyncio.Event()
        reconciler._due = lambda seconds: seconds
        resting = asyncio.create_task(reconciler.rest(60))
        await asyncio.sleep(0)
        reconciler._wake.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        if not resting.cancel():
            return True
        await asyncio.wait([resting])
        return resting.cancelled()

    assert asyncio.run(called_off())
