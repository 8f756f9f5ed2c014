# SPDX-License-Identifier: Apache-2.0
"""Records as the API shows them."""
