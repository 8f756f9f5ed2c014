# SPDX-License-Identifier: Apache-2.0
"""What runs in shares and what it uses, as measured."""
