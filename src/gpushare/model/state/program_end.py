# SPDX-License-Identifier: Apache-2.0
"""How programs of shares end, and how much of it is kept.

A program that the caller's shell started is the child of that shell, and the Linux kernel reports
how it ended to a process that holds a pidfd of it (Linux 6.15 and newer). A detached program is the
child of a supervisor of ours, which reports its end with the last bytes of its output.
"""

import os
import signal
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from gpushare.model.units import KIB, MIB, Bytes
from gpushare.model.value import Value

LONGEST_OUTPUT = 64 * KIB
_SIGNALLED = 128  # what a shell adds to the number of a signal
_LAST_SIGNAL = 64


class ProgramEnd(Value):
    """The end of the program that a share was made for.

    `code`: as a shell reports it, 128 and the number for a `signal`; None: not known, and `because`
    says why. `seconds`: how long the program ran; None where its start is not known.
    """

    at: datetime
    code: int | None = None
    signal: int | None = None
    seconds: float | None = None
    because: str = ""

    @property
    def text(self) -> str:
        """`exited (1)`, `exited (137, SIGKILL)`, or `exited (code not known)`."""
        if self.code is None:
            return "exited (code not known)"
        return f"exited ({self.code}{_named(self.signal)})"


class ProgramEndReport(Value):
    """What the supervisor of a detached program sends: a status of waitpid(2), and its output.

    `output`: its last bytes as text.
    """

    status: Annotated[int, Meta(ge=0, le=0xFFFF)]
    at: Annotated[datetime, Meta(tz=True)]
    output: Annotated[str, Meta(max_length=LONGEST_OUTPUT)] = ""


class RecordBounds(Value):
    """How many ended shares are remembered, for how long, and how much of their output.

    Each `user` bound holds for every user, the others for the machine. `days` 0: however old.
    """

    shares: int = 1000
    user_shares: int = 200
    days: int = 30
    output: Bytes = Bytes(4 * KIB)
    user_output: Bytes = Bytes(256 * KIB)
    outputs: Bytes = Bytes(16 * MIB)

    def oldest(self, now: datetime) -> float:
        """Shares that ended before this time, in seconds since 1970, are forgotten."""
        return (now - timedelta(days=self.days)).timestamp() if self.days else float("-inf")


def program_end(
    status: int | None, at: datetime, started: datetime | None, because: str = ""
) -> ProgramEnd:
    """From a status of waitpid(2); None: not known."""
    seconds = max(0.0, (at - started).total_seconds()) if started else None
    if status is None:
        return ProgramEnd(at=at, seconds=seconds, because=because)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ProgramEnd(at=at, code=_SIGNALLED + number, signal=number, seconds=seconds)
    return ProgramEnd(at=at, code=os.WEXITSTATUS(status), seconds=seconds)


def _named(number: int | None) -> str:
    if number is None:
        return ""
    try:
        return f", {signal.Signals(number).name}"
    except ValueError:
        return f", signal {number}"
