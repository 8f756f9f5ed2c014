# SPDX-License-Identifier: Apache-2.0
"""Names of things. NewTypes, so that a share's id is never taken for a GPU's."""

from typing import NewType

GpuId = NewType("GpuId", str)  # NVML UUID of a device or MIG instance: GPU-…, MIG-…
ShareId = NewType("ShareId", str)  # 12 lower-case hex digits
Tenant = NewType("Tenant", str)  # what quotas apply to; the user's name where no tenant is defined
