# SPDX-License-Identifier: Apache-2.0
"""What was asked of a share, kept while something else stands by itself."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gpushare.model.share import Share
from gpushare.model.spec import ShareSpec


def asked(
    share: Share, now: ShareSpec, wishes: Mapping[str, Any], *, by_itself: bool
) -> ShareSpec | None:
    """What the share is to remember once `now` stands; None: that is what was asked.

    `wishes`: what has changed. `by_itself`: nobody asked for it.
    """
    before = share.asked or share.spec
    kept = before if by_itself else replace(before, **wishes)
    return None if kept == now else kept
