# SPDX-License-Identifier: Apache-2.0
"""What a caller may do, from least to most."""

from enum import StrEnum, unique


@unique
class Role(StrEnum):
    VIEWER = "viewer"  # looks
    USER = "user"  # has shares
    OPERATOR = "operator"  # acts on everyone's shares
    ADMIN = "admin"  # sets the policy and the roles

    def covers(self, least: "Role") -> bool:
        """Whether this role may do what requires `least`."""
        order = list(Role)
        return order.index(self) >= order.index(least)
