# SPDX-License-Identifier: Apache-2.0
"""The rules of one machine: as values, as people write them, and as the API shows them."""
