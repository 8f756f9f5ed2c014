# SPDX-License-Identifier: Apache-2.0
"""What can be set, where it is read from, and which daemon is meant."""
