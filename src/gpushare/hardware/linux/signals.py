# SPDX-License-Identifier: Apache-2.0
"""The only place that sends signals; a test finds other calls.

Who may be sent one for a share is decided in `daemon/acts/signalling.py`.
"""

import os
import signal
from contextlib import suppress
from signal import Signals

from gpushare.hardware.ports import Processes
from gpushare.model.share import ProcessRef


def send(processes: Processes, process: ProcessRef, number: Signals) -> None:
    """Through a pidfd: to this process or to none, never to a later one of the same pid."""
    descriptor = processes.open(process)
    if descriptor is None:
        return
    try:
        send_through(descriptor, number)
    finally:
        os.close(descriptor)


def send_through(descriptor: int, number: Signals) -> None:
    """To the process of a pidfd; none if it has ended, which is what the caller wants."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, number)


def forward(child: int, number: int) -> None:
    """To a child of this process that was not collected yet, so its pid is its own."""
    os.kill(child, number)


def kill_group(leader: int) -> None:
    """SIGKILL for the process group of a child that was not collected yet."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
