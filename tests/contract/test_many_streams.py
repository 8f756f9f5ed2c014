# SPDX-License-Identifier: Apache-2.0
"""Fences in more streams than the GPU has connections stop all of them, and none for good.

A fence is a wait for a word of memory. NVIDIA warns that such a wait can hold up other streams on
the same hardware connection (CUDA_DEVICE_MAX_CONNECTIONS, 8 unless set, at most 32). Here programs
of two shares have 64 streams each, full queues behind closed gates, and streams that wait for each
other. What opens a gate is on the host or in another process, never in a stream that the gate
stops, so every program ends.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.test_sharing import Sharing, finish

from gpushare.model.spec import Priority
from support.machine import Machine
from support.mechanics import World

pytestmark = pytest.mark.contract
STREAMS = "64"
KERNEL = "20000"  # ns


@pytest.fixture(params=["1", "8", "32"])
def sharing(
    request: pytest.FixtureRequest,
    any_machine: Machine,
    short_path: Path,
) -> Iterator[Sharing]:
    connections = {"CUDA_DEVICE_MAX_CONNECTIONS": request.param}
    machine = replace(any_machine, environment={**any_machine.environment, **connections})
    with ExitStack() as stack:
        yield Sharing(World(machine, short_path), stack)


def test_many_streams_behind_a_gate_of_urgent_work_come_to_their_end(sharing: Sharing) -> None:
    service, _ = sharing.start("serve", "300000", "200", priority=Priority.HIGH)
    jobs = [sharing.start("streams", KERNEL, STREAMS, priority=Priority.LOW)[0] for _ in range(2)]
    assert all(finish(job) > 0 for job in jobs)
    assert finish(service) > 0


def test_many_streams_of_two_shares_that_take_turns_come_to_their_end(sharing: Sharing) -> None:
    jobs = [sharing.start("streams", KERNEL, STREAMS, compute=share)[0] for share in (30, 20)]
    assert all(finish(job) > 0 for job in jobs)
