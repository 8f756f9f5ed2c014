# SPDX-License-Identifier: Apache-2.0
"""What the owner of a share has asked for, kept while a policy has set something else."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gpushare.model.share import Share
from gpushare.model.spec import ShareSpec


def requested_spec(
    share: Share, now: ShareSpec, fields: Mapping[str, Any], *, by_policy: bool
) -> ShareSpec | None:
    """What the share is to remember once `now` is in force; None: `now` is what was asked for.

    `fields`: what has changed. `by_policy`: no user asked for it.
    """
    before = share.asked or share.spec
    requested = before if by_policy else replace(before, **fields)
    return None if requested == now else requested
