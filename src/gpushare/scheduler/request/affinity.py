# SPDX-License-Identifier: Apache-2.0
"""Shares that want to be beside each other, and shares that do not.

Only shares of the same tenant count, both ways: whether a share waits would else tell a tenant
what labels others have.
"""

from collections.abc import Iterable, Mapping

from gpushare.model.share import Share

from .state import Request


def wanted_neighbours(shares: Iterable[Share], request: Request) -> list[Share]:
    """Shares that the request wants to be beside."""
    return [
        s for s in shares if _has(s.spec.labels, request.spec.near) and _same_tenant(s, request)
    ]


def missing_neighbour(shares: Iterable[Share], request: Request) -> str:
    """Whom the request misses here; "" when it misses nobody."""
    near = request.spec.near
    if not near or wanted_neighbours(shares, request):
        return ""
    return f"a share with {labels(near)} to be beside"


def conflict(shares: Iterable[Share], request: Request) -> str:
    """Whom the request cannot be beside, by its own wish or theirs; "" for nobody."""
    spec = request.spec
    if not spec.labels and not spec.apart:
        return ""
    for share in shares:
        if not _same_tenant(share, request):
            continue
        if spec.apart and _has(share.spec.labels, spec.apart):
            return f"where {share.name} has {labels(spec.apart)}"
        if share.spec.apart and _has(spec.labels, share.spec.apart):
            return f"where {share.name} is apart from {labels(share.spec.apart)}"
    return ""


def labels(wanted: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))


def _has(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= found.items()


def _same_tenant(share: Share, request: Request) -> bool:
    return share.tenant == request.tenant
