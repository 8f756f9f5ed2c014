# SPDX-License-Identifier: Apache-2.0
"""MPS control daemons."""
