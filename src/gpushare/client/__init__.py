# SPDX-License-Identifier: Apache-2.0
"""A typed client of the daemon's API."""

from .client import Client

__all__ = ["Client"]
