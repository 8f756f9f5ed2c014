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
        return _ORDER[self.value] >= _ORDER[least.value]


# By value: this is asked for each share of each list.
_ORDER = {role.value: number for number, role in enumerate(Role)}
