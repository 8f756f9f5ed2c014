# SPDX-License-Identifier: Apache-2.0
"""Commands about tenants, quotas and the policy."""
