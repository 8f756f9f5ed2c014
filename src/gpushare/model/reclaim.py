# SPDX-License-Identifier: Apache-2.0
"""How borrowed capacity is taken back."""

from gpushare.model.policy.tenant import Rung

from .ids import ShareId
from .share import Decision
from .value import Value


class Action(Value):
    """One act on one share. `to`: its decision afterwards, where it keeps one elsewhere or less."""

    share: ShareId
    rung: Rung
    why: str
    to: Decision | None = None
