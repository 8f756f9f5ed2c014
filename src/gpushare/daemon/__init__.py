# SPDX-License-Identifier: Apache-2.0
"""The daemon: keeps shares, acts on the machine, answers on a socket."""

from .app import serve

__all__ = ["serve"]
