# SPDX-License-Identifier: Apache-2.0
"""What is left on GPUs, now and later."""
