# SPDX-License-Identifier: Apache-2.0
"""Completion as the user of a shell gets it: keys go into a real shell on a terminal."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.daemon import Daemon

_HANG = 60  # seconds
_ASK = "\x1b[6n"  # a shell that asks where the cursor is
_CODES = re.compile(r"\x1b(?:\[[0-9;?>=]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])")
START = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "-i"),
}
SETUP = {
    "bash": "source {script}; PS1='ready> '",
    "zsh": "autoload -U compinit; compinit -u -D; source {script}; PS1='ready> '",
    "fish": "source {script}; function fish_prompt; echo 'ready> '; end",
}


class Shell:
    """A shell on a terminal, in a folder of its own."""

    def __init__(self, name: str, daemon: Daemon, folder: Path) -> None:
        binaries = folder / "bin"
        binaries.mkdir()
        for tool, text in {
            "gpushare": f'exec {sys.executable} -m gpushare.cli "$@"',
            "trainingprogram": "exit 0",
        }.items():
            (binaries / tool).write_text(f"#!/bin/sh\n{text}\n")
            (binaries / tool).chmod(0o755)
        self._folder = folder / "here"
        self._folder.mkdir()
        self._ours, its = pty.openpty()
        path = f"{binaries}:{os.environ['PATH']}"
        home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TERM": "xterm", "PATH": path}
        self._process = subprocess.Popen(
            ("setsid", "--ctty", *START[name]),
            cwd=self._folder,
            env=daemon.environment | home,
            stdin=its,
            stdout=its,
            stderr=its,
        )
        os.close(its)
        script = folder / "script"
        script.write_text(daemon.gpushare("completion", name).stdout)
        self._type(SETUP[name].format(script=script) + "\n")
        self._until("ready> ")

    def file(self, name: str) -> None:
        (self._folder / name).write_text("#!/bin/sh\n")
        (self._folder / name).chmod(0o755)

    def completed(self, typed: str, wanted: str) -> str:
        """What the terminal shows after TAB; ends once that contains `wanted`."""
        self._type("\x15")
        self._type(typed + "\t")
        return self._until(wanted)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def _until(self, wanted: str) -> str:
        shown, raw = "", ""
        deadline = time.monotonic() + _HANG
        while wanted not in shown:
            left = deadline - time.monotonic()
            assert left > 0, f"no {wanted!r} in {shown!r}"
            if select.select([self._ours], [], [], left)[0]:
                part = os.read(self._ours, 65536).decode(errors="replace")
                if _ASK in part:
                    self._type("\x1b[1;1R")
                raw += part
                shown = _CODES.sub("", raw)
        return shown


@pytest.fixture(scope="module")
def held(shared_daemon: Daemon) -> Daemon:
    shared_daemon.gpushare("create", "--name", "notebook", "-m", "1GiB")
    return shared_daemon


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request, held: Daemon, tmp_path: Path):
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    found = Shell(request.param, held, tmp_path)
    yield found
    found.end()


def test_programs_files_and_shares_are_completed(shell: Shell):
    shell.file("policyfile.toml")
    shell.file("scriptfile.sh")
    for typed, wanted in (
        ("gpushare run -m 1GiB -- trainingpro", "trainingprogram"),
        ("gpushare run trainingpro", "trainingprogram"),
        ("gpushare run -- ./scriptf", "./scriptfile.sh"),
        ("gpushare run -m 1GiB -- cat -n policyf", "cat -n policyfile.toml"),
        ("gpushare exec notebook -- trainingpro", "trainingprogram"),
        ("gpushare exec noteb", "exec notebook"),
        ("gpushare show noteb", "show notebook"),
        ("gpushare backup policyf", "backup policyfile.toml"),
        ("gpushare restore policyf", "restore policyfile.toml"),
        ("gpushare apply -f policyf", "-f policyfile.toml"),
        ("gpushare audit verify --file policyf", "--file policyfile.toml"),
        ("gpushare run --gpu GPU", "--gpu GPU-"),
        ("gpushare verif", "gpushare verify"),
    ):
        shell.completed(typed, wanted)
