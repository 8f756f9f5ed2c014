# SPDX-License-Identifier: Apache-2.0
"""The kernel's side of the machine: processes, control groups, device nodes, memory."""
