# SPDX-License-Identifier: Apache-2.0
"""Settings, their sources, contexts, stored tokens, and policy files."""
