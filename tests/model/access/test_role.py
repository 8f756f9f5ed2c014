# SPDX-License-Identifier: Apache-2.0
"""Roles are a ladder."""

from gpushare.model.access.role import Role


def test_each_role_covers_itself_and_the_lesser_ones():
    order = list(Role)
    assert order == ["viewer", "user", "operator", "admin"]
    for high, role in enumerate(order):
        assert [role.covers(least) for least in order] == [low <= high for low in range(4)]
