# SPDX-License-Identifier: Apache-2.0
"""The typed client, and shares for the Python program that asks."""

from .client import Client
from .config import Config, load
from .share import share

__all__ = ["Client", "Config", "load", "share"]
