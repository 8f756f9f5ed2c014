# SPDX-License-Identifier: Apache-2.0
"""How borrowed capacity is taken back."""

from gpushare.model.ids import ShareId
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import Decision
from gpushare.model.value import Value


class Action(Value):
    """One act on one share. `to`: its decision afterwards, where it keeps one elsewhere or less."""

    share: ShareId
    rung: Rung
    why: str
    to: Decision | None = None
