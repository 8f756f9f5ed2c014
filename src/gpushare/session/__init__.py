# SPDX-License-Identifier: Apache-2.0
"""Shares for a process: create, wait, enter. `python_api.share` is public as `gpushare.share`."""
