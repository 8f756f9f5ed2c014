# SPDX-License-Identifier: Apache-2.0
"""Backups of the state: made from a running daemon, restored while none runs."""

from .archive import STATE, opened, packed
from .copying import copied
from .restoring import Here, Living, Restore
from .swap import finish, forget, noted

__all__ = [
    "STATE",
    "Here",
    "Living",
    "Restore",
    "copied",
    "finish",
    "forget",
    "noted",
    "opened",
    "packed",
]
