# SPDX-License-Identifier: Apache-2.0
"""Programs of an earlier release that run, for a daemon of this one.

The earlier commit is built; its daemon and programs run on the simulated machine of that commit,
as a driver stays when gpushare is upgraded.
"""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from .daemon import Daemon, until
from .machine import ROOT, Machine
from .scripts import load_script


class Release(NamedTuple):
    """An earlier commit: the versions of its state, and of the files that processes share.

    None: it has no such file.
    """

    commit: str
    schema: int
    region: int = 3
    page: int | None = 2
    pool: int | None = 2


# One for each version that no archive of tests/upgrade/former has (test_versions.py), and each
# version of the shared files with living programs.
RELEASES = {
    "first-with-a-daemon": Release("a5e3e32e5", 1, region=1, page=None, pool=None),
    "region-2": Release("171011c61", 1, region=2, page=1, pool=1),
    "region-3-locked": Release("72624b7ee", 8),
    "region-3": Release("d1ccd18", 9),
    "schema-10": Release("12faf6d", 10),
    "schema-11": Release("7506ea0", 11),
    "schema-12": Release("aecd858", 12),
    "schema-13": Release("40a2204", 13),
    "schema-14": Release("f2d962a5", 14),
}
_ANSWER_SECONDS = 300  # a guard: a program that came back from the host answers at once
_SCENE = ROOT / "tests" / "upgrade" / "living_scene.py"


def recorder() -> ModuleType:
    """The script that builds and runs earlier commits."""
    return load_script(ROOT / "scripts" / "record_former_state.py")


def missing(commit: str) -> str:
    """Why a commit cannot be built here; empty: it can."""
    try:
        words = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
        found = subprocess.run(words, check=False, capture_output=True)
    except FileNotFoundError:
        return "there is no git"
    return f"the history here does not reach {commit}" if found.returncode else ""


class Living:
    """`daemon`: of this version, not started, in the folders that the earlier one has left."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self._folder = folder
        self._scene = subprocess.Popen(
            [sys.executable, str(_SCENE), str(folder)],
            env=recorder().environment(tree),
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._scene.stdout is not None
        line = self._scene.stdout.readline()
        assert line, f"the earlier gpushare failed: {self._scene.wait()}"
        place = json.loads(line)
        self.pids: dict[str, int] = place["pids"]
        environment: dict[str, str] = place["environment"]
        environment.pop("PYTHONPATH")
        self.daemon = Daemon(Machine("h200-1", environment, Path(place["image"])), folder)

    def lives(self, name: str) -> bool:
        """Whether the program of this share runs."""
        try:
            state = Path(f"/proc/{self.pids[name]}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state != "Z"

    def ask(self, name: str, words: str) -> str:
        """What the program of a share answers."""
        output = self._folder / f"{name}.out"
        before = len(output.read_text())
        assert self._scene.stdin is not None
        self._scene.stdin.write(f"{name} {words}\n")
        self._scene.stdin.flush()
        answer = until(
            lambda: output.read_text()[before:].endswith("\n"), f"{name}: {words}", _ANSWER_SECONDS
        )
        assert answer
        return output.read_text()[before:].strip()

    def end(self) -> None:
        """The daemon, the programs, and the machine."""
        if self.daemon.process is not None:
            self.daemon.stop()
        self._scene.communicate("", timeout=120)
