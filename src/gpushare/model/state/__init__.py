# SPDX-License-Identifier: Apache-2.0
"""What the daemon keeps of what is over, and its state as a whole: backups, ended programs."""
