# SPDX-License-Identifier: Apache-2.0
"""The services that the API serves, implemented on the daemon's parts."""
