# SPDX-License-Identifier: Apache-2.0
"""A cordon keeps new shares off a GPU, or off every GPU of the machine; shares there continue.

A person sets one for maintenance. The daemon sets one by itself on a GPU that is not sound. A GPU
may have both: each is lifted on its own.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gpushare.model.value import Value

NODE = "node"  # the target that means every GPU of this machine, those that are added later too
_LONGEST = 200  # characters of a reason
Reason = Annotated[str, Meta(max_length=_LONGEST)]


class Cordon(Value):
    """`target`: a GPU's UUID, or `node`. `by`: who set it. `automatic`: the daemon did, because the
    GPU is not sound. `drain`: what is there is made to leave.
    """

    target: str
    at: datetime
    by: str = ""
    reason: str = ""
    automatic: bool = False
    drain: bool = False

    @property
    def text(self) -> str:
        """In words: `is cordoned by ada: new fan`."""
        if self.automatic:
            return f"is cordoned automatically, because it {self.reason}"
        where = " with the whole machine" if self.target == NODE else ""
        why = f": {self.reason}" if self.reason else ""
        return f"is cordoned{where} by {self.by}{why}"


class CordonList(Value):
    items: tuple[Cordon, ...]
    apiVersion: Literal["v1"] = "v1"  # noqa: N815 (the wire's spelling)


class CordonRequest(Value):
    """`drain`: what is there is made to leave. No reason keeps an earlier one."""

    reason: Reason = ""
    drain: bool = False


class CordonChange(Value):
    """`before`: cordons of the target that were there; `now`: those that hold new shares off it."""

    before: tuple[Cordon, ...] = ()
    now: tuple[Cordon, ...] = ()
