# SPDX-License-Identifier: Apache-2.0
"""The reconcile loop and the passes it makes."""
