# SPDX-License-Identifier: Apache-2.0
"""Reports how a detached program ended, with its last output; also to a daemon that comes back.

`python -m gpushare.session.report_end SOCKET SHARE LOG KEEP STATUS TIME`, as its supervisor starts
it. KEEP is how many bytes of output are reported; `forget`: none, and the log is deleted. A daemon
that is away is waited for as long as its directory exists, for a day at most. What was not reported
by then is lost, and so is what a supervisor knew that was killed.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from gpushare.client.client import Client
from gpushare.model.errors import DaemonUnreachableError, GpushareError, StateError
from gpushare.model.state.program_end import ProgramEndReport

FORGET = "forget"
_LONGEST_SECONDS = 86400.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds


def send(socket: Path, share: str, report: ProgramEndReport) -> None:
    """Until the daemon has it, or can no longer be waited for."""
    client, pause, until = Client(socket), _FIRST_PAUSE, time.monotonic() + _LONGEST_SECONDS
    while not _sent(client, share, report):
        if time.monotonic() > until or not socket.parent.exists():
            return
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _sent(client: Client, share: str, report: ProgramEndReport) -> bool:
    """False: the daemon is away, or cannot write its state."""
    try:
        client.program_ended(share, report)
    except (DaemonUnreachableError, StateError):
        return False
    except GpushareError:
        # A share that is forgotten by now, and whatever another attempt does not change.
        return True
    return True


def last_output(log: Path, most: int) -> str:
    """The last bytes of a log as text, from the beginning of a line if there is one."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most))
            text = file.read(most).decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2] or text if size > most else text


def _output(log: Path, keep: str) -> str:
    if keep != FORGET:
        return last_output(log, int(keep))
    log.unlink(missing_ok=True)
    return ""


if __name__ == "__main__":
    _socket, _share, _log, _keep, _status, _at = sys.argv[1:]
    _ended = datetime.fromtimestamp(float(_at), UTC)
    _text = _output(Path(_log), _keep)
    send(Path(_socket), _share, ProgramEndReport(status=int(_status), at=_ended, output=_text))
