# SPDX-License-Identifier: Apache-2.0
"""HTTP over a unix socket and TLS for a Service it is given. No policy, no state."""

from .app import build
from .request_filter import FilterSettings
from .server import RemoteServer, Server
from .tls import Certificate

__all__ = ["Certificate", "FilterSettings", "RemoteServer", "Server", "build"]
