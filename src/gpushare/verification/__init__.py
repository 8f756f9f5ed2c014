# SPDX-License-Identifier: Apache-2.0
"""Proves a share: runs the probe inside it and compares what it reports with what was promised."""
