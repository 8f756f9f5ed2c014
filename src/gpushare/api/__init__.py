# SPDX-License-Identifier: Apache-2.0
"""HTTP over a unix socket for a Service it is given. No policy, no state."""

from .app import build
from .server import Server

__all__ = ["Server", "build"]
