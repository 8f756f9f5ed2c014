# SPDX-License-Identifier: Apache-2.0
"""How the program of a share ended, for `show`."""

from datetime import timedelta

from gpushare.config.printable import printable
from gpushare.model.view import ShareView

from .ages import age
from .times import moment

_LINES = 10  # of the output


def rows(share: ShareView) -> list[tuple[str, str]]:
    """When it ended, and how its program did."""
    found = []
    if share.ended is not None:
        found.append(("ended", moment(share.ended)))
    if (end := share.end) is not None:
        after = "" if end.seconds is None else f" after {age(timedelta(seconds=end.seconds))}"
        because = f": {end.because}" if end.because else ""
        when = moment(end.at)
        found.append(("program", f"{end.text} at {when}{after}{because}"))
    return found


def output(share: ShareView) -> list[str]:
    """The last lines of its output."""
    lines = (share.output or "").splitlines()[-_LINES:]
    return [printable(line) for line in lines]
