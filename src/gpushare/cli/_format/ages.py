# SPDX-License-Identifier: Apache-2.0
"""Spans of time as text for people."""

from datetime import timedelta

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def age(span: timedelta) -> str:
    """The largest whole unit: `3m`."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
