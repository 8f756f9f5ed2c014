# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on a real GPU: `python -m benchmarks.gpu [PART]...`, results as JSON.

They need no daemon but for `programs`; nothing here changes the card's settings.
"""
