# SPDX-License-Identifier: Apache-2.0
"""Who a caller is and what they may do: roles and tokens."""
