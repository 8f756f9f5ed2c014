# SPDX-License-Identifier: Apache-2.0
"""Prints values for people: tables and detail views."""
