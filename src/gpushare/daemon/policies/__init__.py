# SPDX-License-Identifier: Apache-2.0
"""Rules about living shares: idleness, sizes, expiry, usage, anomalies. Mostly pure."""
