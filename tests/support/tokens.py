# SPDX-License-Identifier: Apache-2.0
"""Tokens as the store keeps them."""

from datetime import UTC, datetime, timedelta

from gpushare.model.access.role import Role
from gpushare.model.access.token import Token, TokenId

MADE = datetime(2026, 11, 23, tzinfo=UTC)


def stored_token(name: str) -> Token:
    """A user's, for one day."""
    return Token(
        id=TokenId(name),
        user="lin",
        uid=1000,
        role=Role.USER,
        scopes=(),
        maker=1000,
        created=MADE,
        expires=MADE + timedelta(days=1),
    )
