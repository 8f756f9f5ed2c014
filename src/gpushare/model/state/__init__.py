# SPDX-License-Identifier: Apache-2.0
"""The state of the daemon as a whole: its backups."""
