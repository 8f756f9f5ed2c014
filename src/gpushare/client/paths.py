# SPDX-License-Identifier: Apache-2.0
"""Names in the paths of the API."""

from urllib.parse import quote

from gpushare.model.errors import NotFoundError


def segment(name: str, missing: NotFoundError) -> str:
    """The name as one segment of a path. Raises `missing` if it cannot be one.

    Servers divide a path at its slashes, encoded ones too, and take dots for folders.
    """
    if name in {"", ".", ".."} or "/" in name:
        raise missing
    return quote(name, safe="")
