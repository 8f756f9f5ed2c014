# SPDX-License-Identifier: Apache-2.0
"""Tells systemd how the daemon is (sd_notify(3))."""

import os
import socket


class Notifier:
    """Does nothing where `address` is empty. `watchdog_seconds` is None when nobody watches."""

    def __init__(self, address: str, watchdog_usec: str = "") -> None:
        # A leading @ stands for the abstract namespace (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = int(watchdog_usec) / 1e6 if watchdog_usec else None

    @classmethod
    def from_environment(cls) -> "Notifier":
        return cls(os.environ.get("NOTIFY_SOCKET", ""), os.environ.get("WATCHDOG_USEC", ""))

    def send(self, state: str) -> None:
        """READY=1, WATCHDOG=1, STOPPING=1, STATUS=…"""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(self._address)
            sender.send(state.encode())
