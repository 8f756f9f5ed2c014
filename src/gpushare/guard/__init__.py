# SPDX-License-Identifier: Apache-2.0
"""The preloaded guard as Python sees it."""

from .native import native_root

__all__ = ["native_root"]
