# SPDX-License-Identifier: Apache-2.0
"""The daemon's API as typed calls."""

from .client import Client

__all__ = ["Client"]
