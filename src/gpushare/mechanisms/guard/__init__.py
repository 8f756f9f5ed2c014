# SPDX-License-Identifier: Apache-2.0
"""The preloaded guard as a mechanism: regions, GPU pages, host memory."""
