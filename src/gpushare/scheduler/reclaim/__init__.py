# SPDX-License-Identifier: Apache-2.0
"""How borrowed capacity is taken back."""
