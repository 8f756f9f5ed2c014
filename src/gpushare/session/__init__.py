# SPDX-License-Identifier: Apache-2.0
"""Shares for a process: ask for one, wait for it, enter it. `python_api.share` is public."""
