# SPDX-License-Identifier: Apache-2.0
"""Changes to the machine, each journaled: intent, act, confirm."""
