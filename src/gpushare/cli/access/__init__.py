# SPDX-License-Identifier: Apache-2.0
"""Commands about tokens and daemons on other machines."""
