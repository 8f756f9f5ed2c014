# SPDX-License-Identifier: Apache-2.0
"""Rules about living shares: idle ones, sizes, usage, anomalies. Mostly pure."""
