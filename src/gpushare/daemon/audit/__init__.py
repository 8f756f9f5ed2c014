# SPDX-License-Identifier: Apache-2.0
"""Makes audit records of calls and events and keeps them."""
