# SPDX-License-Identifier: Apache-2.0
"""Who calls: accounts, tokens, logins, and what each caller sees."""
