# SPDX-License-Identifier: Apache-2.0
"""Names of things. NewTypes, so that a share's id is never taken for a GPU's.

What a caller writes to mean one share is read here (`parse_ref`): an id, the beginning of one, the
name of a share of the caller, or `USER/NAME` for the share of another user (`USER:NAME` in the
paths of the API). Names belong to their user: two users may use the same name, and a caller's plain
name never means the share of another user. No name reads as an id or the beginning of one, so the
forms cannot be confused.
"""

import re
from typing import NewType

from .value import Value

GpuId = NewType("GpuId", str)  # NVML UUID of a device or MIG instance: GPU-…, MIG-…
ShareId = NewType("ShareId", str)  # 12 lower-case hex digits
Tenant = NewType("Tenant", str)  # what quotas apply to; the user's name where no tenant is defined

_ID = re.compile(r"[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f]{2,11}")
_LIKE_AN_ID = re.compile(r"[0-9A-Fa-f]{2,12}")
_OWNER_ENDS = re.compile(r"[/:]")


class ShareRef(Value):
    """`user`: a name, or a uid in digits; None: the caller. `id`, `beginning`: "" if it is none."""

    name: str
    user: str | None = None
    id: str = ""
    beginning: str = ""


def parse_ref(text: str) -> ShareRef:
    """Any text can be read; most of them mean no share."""
    user, separator, name = _owner(text)
    if separator:
        return ShareRef(name=name, user=user)
    if _ID.fullmatch(text):
        return ShareRef(name="", id=text)
    return ShareRef(name=text, beginning=text if _BEGINNING.fullmatch(text) else "")


def reads_as_id(name: str) -> bool:
    """Whether people or programs could take the name for an id or the beginning of one."""
    return _LIKE_AN_ID.fullmatch(name) is not None


def path_segment(ref: str) -> str:
    """The reference as one segment of a path: `USER/NAME` has a slash, which a path divides."""
    user, separator, name = _owner(ref)
    return f"{user}:{name}" if separator else ref


def _owner(text: str) -> tuple[str, str, str]:
    match = _OWNER_ENDS.search(text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else ("", "", text)
