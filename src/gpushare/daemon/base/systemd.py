# SPDX-License-Identifier: Apache-2.0
"""Reports the state of the daemon to systemd (sd_notify(3))."""

import asyncio
import os
import socket
from contextlib import suppress

_PATIENCE = 1.0  # seconds; the kernel queues ten messages (net.unix.max_dgram_qlen)


class Notifier:
    """Does nothing where `address` is empty. `watchdog_seconds` is None without a watchdog."""

    def __init__(self, address: str, watchdog_usec: str = "") -> None:
        # A leading @ stands for the abstract namespace (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = int(watchdog_usec) / 1e6 if watchdog_usec else None

    @classmethod
    def from_environment(cls) -> "Notifier":
        """For the service manager that started this process; without one it does nothing."""
        return cls(os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("WATCHDOG_USEC", ""))

    async def beat(self) -> None:
        """Report without end that the daemon is alive, as often as its watchdog expects.

        Not once a pass: a pass can take as long as a large program takes to leave the GPU.
        """
        while self.watchdog_seconds:
            self.send("WATCHDOG=1")
            # systemd ends a service that is silent for WatchdogSec; three beats in that time leave
            # room for two that come late.
            await asyncio.sleep(self.watchdog_seconds / 3)

    def send(self, state: str) -> None:
        """READY=1, WATCHDOG=1, STOPPING=1, STATUS=…; lost if the earlier messages are not read."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_PATIENCE)
            sender.connect(self._address)
            with suppress(TimeoutError):
                sender.send(state.encode())
