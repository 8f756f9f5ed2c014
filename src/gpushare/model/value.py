# SPDX-License-Identifier: Apache-2.0
"""The base of every value that crosses a room or the wire."""

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _ValueMeta(msgspec.StructMeta):
    """Tells type checkers that what Value sets holds for its subclasses too."""


class Value(
    msgspec.Struct,
    metaclass=_ValueMeta,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
):
    """Immutable, strict: a misspelt field is an error, never silently ignored."""
