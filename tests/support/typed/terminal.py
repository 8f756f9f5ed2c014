# SPDX-License-Identifier: Apache-2.0
"""bash on a terminal, read and typed into by a test."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HANG_SECONDS = 100
ROWS, COLUMNS = 50, 200
# The shell prints its prompt between two control characters, with the last exit code. Without
# line editing nothing of what is typed comes back.
RC = "PS1=$'\\036$?\\037' PS2= HISTFILE= TMOUT=; set +o emacs +o vi\n"
_PROMPT = re.compile(r"\x1e(\d+)\x1f")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>])")


class HungError(AssertionError):
    """Nothing of what was waited for came within `HANG_SECONDS`."""


class Terminal:
    """One interactive bash, which reads `.bashrc` in its HOME (see `RC`).

    `before` are words before its command, such as those that change the user.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, before: Sequence[str] = ()
    ) -> None:
        self._text = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._ours, theirs = pty.openpty()
        _without_echo(theirs)
        self._shell = subprocess.Popen(
            [*before, "setsid", "--ctty", "--wait", "bash", "-i"],
            env=dict(environment),
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.prompt(0)

    @property
    def here(self) -> int:
        """How much has been printed; from here on `since` and `prompt` read."""
        return len(self._text)

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._ours, b"\x03")

    def prompt(self, start: int) -> int:
        """Wait for the prompt; the exit code of the command before it."""
        self.until(lambda: _PROMPT.search(self._text, start), "the prompt")
        found = _PROMPT.search(self._text, start)
        assert found is not None
        return int(found[1])

    def since(self, start: int) -> list[str]:
        """The lines printed since then, as they are read on a terminal."""
        text = _ESCAPES.sub("", _PROMPT.sub("", self._text[start:]))
        return [line.split("\r")[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Read until it holds; raises HungError, also when the shell has ended."""
        deadline = time.monotonic() + HANG_SECONDS
        while not condition():
            if not self._read(deadline):
                raise HungError(f"no {what}; the last lines were:\n{self._text[-2000:]}")

    def close(self) -> None:
        """Leave the shell, and what was started from it, as closing the window does."""
        with contextlib.suppress(OSError):
            os.close(self._ours)
        try:
            self._shell.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self._shell.send_signal(signal.SIGKILL)
            self._shell.wait()
            raise

    def _read(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._ours], [], [], left)[0]:
            return False
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # EIO: the last process on the terminal has ended
            return False
        self._text += self._decode(data)
        return bool(data)


def _without_echo(number: int) -> None:
    modes = termios.tcgetattr(number)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(number, termios.TCSANOW, modes)
    fcntl.ioctl(number, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
