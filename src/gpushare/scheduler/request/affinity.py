# SPDX-License-Identifier: Apache-2.0
"""Shares that must be on the same GPUs, and shares that must not.

Only shares of the same tenant count, in both directions: otherwise a waiting share would show a
tenant which labels others have.
"""

from collections.abc import Iterable, Mapping

from gpushare.model.share import Share

from .state import Request


def wanted_neighbours(shares: Iterable[Share], request: Request) -> list[Share]:
    """Shares whose labels match the request's `near`."""
    return [
        s for s in shares if _has(s.spec.labels, request.spec.near) and _same_tenant(s, request)
    ]


def missing_neighbour(shares: Iterable[Share], request: Request) -> str:
    """The neighbour that is missing here; "" when none is."""
    near = request.spec.near
    if not near or wanted_neighbours(shares, request):
        return ""
    return f"a share with {labels(near)} on the same GPU"


def conflict(shares: Iterable[Share], request: Request) -> str:
    """The share that it must not be with, by its own `apart` or the other's; "" for none."""
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


def labels(pairs: Mapping[str, str]) -> str:
    """As they are written on the command line: `app=web,tier=1`."""
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def _has(labels_there: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return selector.items() <= labels_there.items()


def _same_tenant(share: Share, request: Request) -> bool:
    return share.tenant == request.tenant
