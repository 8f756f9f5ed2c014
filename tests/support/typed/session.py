# SPDX-License-Identifier: Apache-2.0
"""A shell as a page presumes it, and what its commands print."""

import os
import re
import shutil
import signal
import subprocess
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
LOOK_SECONDS = 90
PROGRAMS = ("train.py", "serve.py", "worker.py")  # that pages call their reader's
PIP = Path.home() / ".config/pip"  # where to install from is the machine's affair
_KEPT = ("COVERAGE", "GPUSHARE_NATIVE", "PIP_")
_DEBIAN = "/usr/local/bin:/usr/bin:/bin"
# Folders of root, and those that stand for them in the reader's account.
_ROOTS = {"/etc/gpushare": ".config/gpushare", "/var/backups": "backups"}
_LOOKS = re.compile(r"gpushare (?:ps|show|gpus|logs|quota ls|audit ls)\b[^|&;]*$")
_FAILS = re.compile(r"^(?:error|code): ", re.MULTILINE)


class Session:
    """The account of a reader below `root`, and the shell that is open.

    `uid`: the reader is this user and has what Debian has; clones are made and installed for real.
    """

    def __init__(self, root: Path, uid: int | None = None) -> None:
        self.root, self.uid = root, uid
        self.home = self.folder = root
        self.terminal: Terminal | None = None

    def open(self, shell: Shell) -> None:
        """A shell in a clone, or on a simulated machine."""
        self.close()
        self.home = Path(tempfile.mkdtemp(prefix="home-", dir=self.root))
        (self.home / ".bashrc").write_text(RC)
        new = shell.profile == A_CLONE
        self.folder = self._clone() if new else self._work()
        path = f"{HERE / 'stand-ins' if new else VENV / 'bin'}:{_DEBIAN}"
        environment = self._environment(path if self.uid is None else _DEBIAN)
        self.terminal = Terminal(environment, self.folder, self._user())
        if not new:
            machine = f"gpushare simulate {shell.profile} -- bash"
            daemon = ["gpushare daemon --detach"] if shell.daemon else []
            for text in (machine, *daemon, *shell.given):
                status, lines = self._typed(text)
                assert status == 0, "\n".join([f"{text}: {status}", *lines])

    def close(self) -> None:
        if self.terminal is not None:
            self.terminal.close()
            _end_all_of(self.home)
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
        if self.uid is not None:
            subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
            return folder
        folder.mkdir()
        for path in ROOT.iterdir():
            if path.name not in {".git", ".venv"}:
                (folder / path.name).symlink_to(path)
        return folder

    def _work(self) -> Path:
        """A folder with the reader's programs."""
        folder = self.home / "work"
        folder.mkdir()
        for name in PROGRAMS:
            shutil.copy(HERE / "program.py", folder / name)
        (folder / "examples").symlink_to(ROOT / "examples")
        return folder

    def _user(self) -> list[str]:
        """What makes the shell, and all that is in its home, the reader's."""
        if self.uid is None:
            return []
        if PIP.exists():
            shutil.copytree(PIP, self.home / ".config/pip")
        owner = f"{self.uid}:{self.uid}"
        subprocess.run(["chown", "--recursive", "--no-dereference", owner, self.home], check=True)
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]

    def _environment(self, path: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
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


def _end_all_of(home: Path) -> None:
    """Programs of detached shares go on after their shell, and after their simulated machine."""
    mark = f"HOME={home}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


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
def session(root: Path, uid: int | None) -> Iterator[Session]:
    opened = Session(root, uid)
    try:
        yield opened
    finally:
        opened.close()


def complaints(parts: list[Part], root: Path, uid: int | None = None) -> list[str]:
    """Type all that a page has its reader do; what is not as it shows."""
    found = []
    with session(root, uid) as reader:
        for part in parts:
            if isinstance(part, Shell):
                reader.open(part)
            elif isinstance(part, File):
                reader.write(part)
            elif not isinstance(part, Omitted):
                found.append(reader.complaint(part))
    return [text for text in found if text]
