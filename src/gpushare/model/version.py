# SPDX-License-Identifier: Apache-2.0
"""The version of gpushare; packaging reads it here too."""

__version__ = "0.1.0"
