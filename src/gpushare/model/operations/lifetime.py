# SPDX-License-Identifier: Apache-2.0
"""How long a daemon runs."""

from enum import StrEnum, unique
from pathlib import Path

from gpushare.model.value import Value


@unique
class Lifetime(StrEnum):
    """`until-stopped`: a person or a service manager started it, and stops it.

    `until-idle`: a command started it; it ends without shares and clients. `leaving`: such a
    daemon after another one has come that serves the machine; it ends with its last share.
    """

    UNTIL_STOPPED = "until-stopped"
    UNTIL_IDLE = "until-idle"
    LEAVING = "leaving"


class UntilIdle(Value):
    """A daemon that ends when idle.

    `machine`: where a daemon that serves the machine would listen; None: there can be none.
    """

    machine: Path | None = None
