# SPDX-License-Identifier: Apache-2.0
"""The queue: who waits, where they land, what is reclaimed for them."""
