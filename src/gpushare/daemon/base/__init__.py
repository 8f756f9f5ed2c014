# SPDX-License-Identifier: Apache-2.0
"""What every part of the daemon uses: events, logs, folders, the machine's ports."""
