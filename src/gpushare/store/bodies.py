# SPDX-License-Identifier: Apache-2.0
"""Values as they are stored: a checksum, then their JSON.

SQLite notices a damaged page only where the damage breaks its structure; a changed byte inside a
value is returned as it is. The checksum finds it. Rows written before there were checksums begin
with the JSON and are read without one; a migration that changes bodies writes such rows.
"""

from typing import Generic, TypeVar
from zlib import crc32

import msgspec

from gpushare.model.errors import StateCorruptError

T = TypeVar("T")
_DIGITS = 8  # of the checksum, in hexadecimal


class Body(Generic[T]):
    """Encodes and decodes values of one type."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)

    def encode(self, value: T) -> bytes:
        json = msgspec.json.encode(value)
        return b"%0*x" % (_DIGITS, crc32(json)) + json

    def decode(self, body: bytes) -> T:
        """Raises StateCorruptError for a body that is not what was stored."""
        try:
            return self._decoder.decode(_json(body))
        except (ValueError, msgspec.MsgspecError) as error:
            raise StateCorruptError(
                f"a stored {self._kind.__name__.lower()} is damaged",
                str(error),
                "start the daemon again: it examines all of state.db",
            ) from error


def _json(body: bytes) -> bytes:
    if body[:1] == b"{":
        return body
    checksum, json = body[:_DIGITS], body[_DIGITS:]
    if checksum != b"%0*x" % (_DIGITS, crc32(json)):
        raise ValueError("its checksum is wrong")
    return json
