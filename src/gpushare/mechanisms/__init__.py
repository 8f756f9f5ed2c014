# SPDX-License-Identifier: Apache-2.0
"""How a share is made real."""

from .registry import load
from .stack import Mechanisms

__all__ = ["Mechanisms", "load"]
