# SPDX-License-Identifier: Apache-2.0
"""Decides where shares land. Pure: no clock, no machine, no I/O."""

from .change import hindrance, regrant
from .decide import decide
from .state import Request, Snapshot, Waiting

__all__ = ["Request", "Snapshot", "Waiting", "decide", "hindrance", "regrant"]
