# SPDX-License-Identifier: Apache-2.0
"""Break the code in listed places, one at a time, and check that the tests notice.

The lists are tests/mutants/*.toml. A row names a file, a text that occurs in it exactly once, the
text to put in its place, and a test command that has to fail then. A mutant that no test can
notice has the reason in `equivalent` instead of a test; it is not run.

Everything happens in a copy of the tree with a native build of its own. Before the first mutant,
every test has to pass unmutated. A test that does not end in time counts as killed. A mutant that
does not compile, or whose text has changed, is a stale row: an error.
"""

import argparse
import ast
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "tests" / "mutants"
GOAL_PERCENT = 90
TEST_SECONDS = 180
BUILD_SECONDS = 1200
BUILD = ("make", "-s", "-j2", "-C", "native", "all")


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    test: str = ""
    equivalent: str = ""


class StaleRowError(Exception):
    """A row of the lists does not fit the tree."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read_lists() -> list[Mutant]:
    return [
        Mutant(**row)
        for path in sorted(LISTS.glob("*.toml"))
        for row in tomllib.loads(path.read_text())["mutant"]
    ]


def problems(mutants: Sequence[Mutant], tree: Path) -> Iterator[str]:
    """What is wrong with the lists, one sentence each."""
    names = Counter(mutant.name for mutant in mutants)
    yield from (
        f"{name}: {count} rows have this name" for name, count in names.items() if count > 1
    )
    for mutant in mutants:
        path = tree / mutant.file
        count = path.read_text().count(mutant.old) if path.is_file() else 0
        if count != 1:
            yield f"{mutant.name}: the old text occurs {count} times in {mutant.file}"
        elif not _compiles(mutant, path):
            yield f"{mutant.name}: the new text is a syntax error"
        if bool(mutant.test) == bool(mutant.equivalent):
            yield f"{mutant.name}: needs either a test or the reason why it is equivalent"
        for word in shlex.split(mutant.test):
            if word.startswith("tests/") and not _exists(word, tree):
                yield f"{mutant.name}: there is no {word}"


def _compiles(mutant: Mutant, path: Path) -> bool:
    """Whether it is valid Python; native mutants are compiled when they run."""
    if path.suffix == ".py":
        try:
            ast.parse(path.read_text().replace(mutant.old, mutant.new))
        except SyntaxError:
            return False
    return True


def _exists(test: str, tree: Path) -> bool:
    file, _, name = test.partition("::")
    path = tree / file
    return path.exists() and (not name or f"def {name.partition('[')[0]}(" in path.read_text())


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of what git tracks, or would track, with the same virtual environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    with tempfile.TemporaryDirectory(prefix="gpushare-mutants-") as folder:
        tree = Path(folder)
        for name in listed.stdout.split("\0"):
            if name and (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        yield tree


def run(command: Sequence[str], tree: Path, seconds: float) -> str:
    """Run a command in the copy: "passed", "failed" or "timeout"."""
    environment = {name: text for name, text in os.environ.items() if name != "GPUSHARE_NATIVE"}
    environment |= {
        "PATH": f"{tree / '.venv' / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(tree / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",  # a cached file would hide a mutant of the same size
    }
    with subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return "failed" if process.wait(seconds) else "passed"
        except subprocess.TimeoutExpired:
            return "timeout"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def build(tree: Path, name: str) -> None:
    if run(BUILD, tree, BUILD_SECONDS) != "passed":
        raise StaleRowError(f"{name}: the native build fails")


def outcome(mutant: Mutant, tree: Path) -> str:
    """Whether the test notices: "killed", "timeout" or "survived".

    Building here also undoes the mutant before this one.
    """
    path = tree / mutant.file
    text = path.read_text()
    try:
        path.write_text(text.replace(mutant.old, mutant.new))
        if (tree / "native").is_dir():
            build(tree, mutant.name)
        result = run(shlex.split(mutant.test), tree, TEST_SECONDS)
    finally:
        path.write_text(text)
    return {"failed": "killed", "passed": "survived"}.get(result, result)


def run_all(mutants: Sequence[Mutant]) -> int:
    with copied_tree() as tree:
        build(tree, "the unmutated tree")
        for test in sorted({mutant.test for mutant in mutants if mutant.test}):
            if run(shlex.split(test), tree, TEST_SECONDS) != "passed":
                raise StaleRowError(f"without a mutant this fails: {test}")
        counts: Counter[str] = Counter()
        for mutant in mutants:
            result = "equivalent" if mutant.equivalent else outcome(mutant, tree)
            counts[result] += 1
            say(f"{result:10} {mutant.name}")
    return score(counts)


def score(counts: Counter[str]) -> int:
    """Print the total; the exit status."""
    killed = counts["killed"] + counts["timeout"]
    total = killed + counts["survived"]
    percent = 100 * killed // total if total else 100
    say(f"{killed} of {total} killed ({percent} %), {counts['equivalent']} equivalent")
    return int(percent < GOAL_PERCENT)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", metavar="NAME", help="run the mutants whose name contains NAME")
    parser.add_argument("--check", action="store_true", help="only check that the lists fit")
    options = parser.parse_args()
    mutants = read_lists()
    if found := list(problems(mutants, ROOT)):
        say("\n".join(found))
        return 1
    if options.check:
        return 0
    try:
        return run_all([mutant for mutant in mutants if (options.only or "") in mutant.name])
    except StaleRowError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
