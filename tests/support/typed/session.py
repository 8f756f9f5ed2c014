# SPDX-License-Identifier: Apache-2.0
"""A shell as a page presumes it, and what its commands print."""

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.machine import ROOT

from .compare import alike, difference
from .pages import A_CLONE, Command, File, Omitted, Part, Shell
from .terminal import RC, HungError, Terminal

HERE = Path(__file__).parent
VENV = Path(sys.prefix)
LOOK_SECONDS = 40
_DEBIAN = "/usr/local/bin:/usr/bin:/bin"
# Folders of root, and those that stand for them in the reader's account.
_ROOTS = {"/etc/gpushare": ".config/gpushare", "/var/backups": "backups"}
_LOOKS = re.compile(r"gpushare (?:ps|show|gpus|logs|quota ls|audit ls)\b[^|&;]*$")
_FAILS = re.compile(r"^(?:error|code): ", re.MULTILINE)


class Session:
    """The account of a reader below `root`, and the shell that is open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = self.folder = root
        self.terminal: Terminal | None = None

    def open(self, shell: Shell) -> None:
        """A shell in a clone, or on a simulated machine."""
        self.close()
        self.home = Path(tempfile.mkdtemp(prefix="home-", dir=self.root))
        (self.home / ".bashrc").write_text(RC)
        new = shell.profile == A_CLONE
        self.folder = self._clone() if new else self._work()
        path = HERE / "stand-ins" if new else VENV / "bin"
        self.terminal = Terminal(self._environment(path), self.folder)
        if not new:
            machine = f"gpushare simulate {shell.profile} -- bash"
            daemon = ["gpushare daemon --detach"] if shell.daemon else []
            for text in (machine, *daemon, *shell.given):
                status, lines = self._typed(text)
                assert status == 0, "\n".join([f"{text}: {status}", *lines])

    def close(self) -> None:
        if self.terminal is not None:
            self.terminal.close()
        self.terminal = None

    def write(self, file: File) -> None:
        path = self.folder / self._own(file.name).replace("~", str(self.home), 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._own(file.text))

    def complaint(self, command: Command) -> str:
        """What is wrong with what a page shows of a command; empty if nothing is."""
        deadline, pause = time.monotonic() + LOOK_SECONDS, 0.2
        while True:
            status, lines = self._run(command)
            found = _complaint(command, status, lines)
            again = _LOOKS.search(command.text) and time.monotonic() < deadline
            if not found or not again:
                return found
            time.sleep(pause)
            pause = min(2 * pause, 2)

    def _run(self, command: Command) -> tuple[int, list[str]]:
        assert self.terminal is not None, "the page has no `typed on` or `typed in` before it"
        terminal, start = self.terminal, self.terminal.here
        terminal.type(self._own(command.text))
        if "until Ctrl-C" in command.text:
            terminal.until(lambda: terminal.here > start, "output")
            terminal.interrupt()
            terminal.prompt(start)
            return 0, terminal.since(start)
        status = terminal.prompt(start)
        if _background(command) and command.shown:
            shown = command.shown
            with suppress(HungError):
                terminal.until(lambda: alike(shown, terminal.since(start)), "output as shown")
        return status, terminal.since(start)

    def _typed(self, text: str) -> tuple[int, list[str]]:
        return self._run(Command(0, text, None))

    def _own(self, text: str) -> str:
        for folder, own in _ROOTS.items():
            text = text.replace(folder, str(self.home / own))
        return text

    def _clone(self) -> Path:
        """The repository as it is before anything is made in it."""
        folder = self.home / "gpushare"
        folder.mkdir()
        for path in ROOT.iterdir():
            if path.name not in {".git", ".venv"}:
                (folder / path.name).symlink_to(path)
        return folder

    def _work(self) -> Path:
        """A folder with the programs that pages call their reader's."""
        folder = Path(shutil.copytree(HERE / "programs", self.home / "work"))
        (folder / "examples").symlink_to(ROOT / "examples")
        return folder

    def _environment(self, path: Path) -> dict[str, str]:
        kept = {
            n: v for n, v in os.environ.items() if n.startswith(("GPUSHARE_NATIVE", "COVERAGE"))
        }
        runtime = self.home / "run"
        runtime.mkdir(mode=0o700)
        return kept | {
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PATH": f"{path}:{_DEBIAN}",
            "SHELL": "/bin/bash",
            "TERM": "xterm",
            "XDG_RUNTIME_DIR": str(runtime),
            "GPUSHARE_CLONE": str(ROOT),
            "GPUSHARE_VENV": str(VENV),
        }


def _background(command: Command) -> bool:
    return command.text.split(" #")[0].rstrip().endswith("&")


def _complaint(command: Command, status: int, lines: list[str]) -> str:
    if bool(status) != _fails(command):
        return "\n".join([f"{command.line}: {command.text}: exit code {status}", *lines])
    if command.shown is None or alike(command.shown, lines):
        return ""
    return f"{command.line}: {command.text}\n{difference(command.shown, lines)}"


def _fails(command: Command) -> bool:
    """Whether the page shows that the command fails."""
    shown = "\n".join(command.shown or ())
    return "# error" in command.text or (
        _FAILS.search(shown) is not None and not command.text.endswith("; echo $?")
    )


@contextmanager
def session(root: Path) -> Iterator[Session]:
    opened = Session(root)
    try:
        yield opened
    finally:
        opened.close()


def complaints(parts: list[Part], root: Path) -> list[str]:
    """Type all that a page has its reader do; what is not as it shows."""
    found = []
    with session(root) as reader:
        for part in parts:
            if isinstance(part, Shell):
                reader.open(part)
            elif isinstance(part, File):
                reader.write(part)
            elif not isinstance(part, Omitted):
                found.append(reader.complaint(part))
    return [text for text in found if text]
