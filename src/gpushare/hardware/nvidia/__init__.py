# SPDX-License-Identifier: Apache-2.0
"""The driver's side of the machine: NVML and the checkpoint API."""
