# SPDX-License-Identifier: Apache-2.0
"""The HTTP API for a `Service`: over a unix socket and over TLS. It has no policy and no state."""

from .app import build
from .request_filter import FilterSettings
from .server import RemoteServer, Server
from .tls import Certificate

__all__ = ["Certificate", "FilterSettings", "RemoteServer", "Server", "build"]
