# SPDX-License-Identifier: Apache-2.0
"""Which request goes first."""
