# SPDX-License-Identifier: Apache-2.0
"""Record what an earlier gpushare leaves behind, for tests of upgrades: tests/upgrade/former/.

    python scripts/record_former_state.py COMMIT:NAME...

builds each commit in a folder apart, runs its daemon on a simulated machine with a program that
uses the GPU, a held share, a suspended one and a queued one, and kills the daemon as a crash would.
Its state directory and its runtime directory, taken while the programs live, become
tests/upgrade/former/NAME.tar.xz. What that version cannot do yet (suspend, tokens, a policy) is
left out; `manifest.json` in the archive says what there is. Needs the history of the repository.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FORMER = ROOT / "tests" / "upgrade" / "former"
SCENE = ROOT / "tests" / "upgrade" / "scene.py"
_JOBS = "2"


def checked_out(commit: str, tree: Path) -> None:
    """Make the tree that of the commit, with its native parts built."""
    if not tree.exists():
        _run("git", "clone", "--quiet", "--shared", "--no-checkout", ROOT, tree)
    _run("git", "-C", tree, "checkout", "--quiet", "--force", "--detach", commit)
    _run("make", "-s", "-j", _JOBS, "-C", tree / "native", "all", stdout=subprocess.DEVNULL)


def _run(*words: str | Path, **options: Any) -> None:
    subprocess.run([str(word) for word in words], check=True, **options)


def environment(tree: Path) -> dict[str, str]:
    """Python finds the package and the tests' support of that commit."""
    kept = {name: it for name, it in os.environ.items() if not name.startswith("GPUSHARE_")}
    return {**kept, "PYTHONPATH": f"{tree / 'src'}:{tree / 'tests'}"}


def record(commit: str, name: str, tree: Path) -> Path:
    """Make the archive and return its path."""
    checked_out(commit, tree)
    FORMER.mkdir(parents=True, exist_ok=True)
    path = FORMER / f"{name}.tar.xz"
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        kept = Path(folder) / "kept"
        _run(sys.executable, SCENE, kept, commit, env=environment(tree), cwd=tree)
        with tarfile.open(path, "w:xz", preset=9) as archive:
            archive.add(kept, arcname=".")
    return path


def main(wanted: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="gs-") as folder:
        for each in wanted:
            commit, _, name = each.partition(":")
            sys.stdout.write(f"{record(commit, name, Path(folder) / 'tree')}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
