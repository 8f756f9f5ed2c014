# SPDX-License-Identifier: Apache-2.0
"""A session on a GPU that is lent for minutes: `python -m benchmarks.gpu.session --out DIR`.

Runs parts in order of weight, each as a program of its own with a time limit of its own, and into a
folder of its own, so that one that fails or is stopped takes no other with it. A part that writes
row by row leaves the rows that it has. Everything is packed into one file, DIR/NAME.tar.gz, after
each part. Needs no git: see GPUSHARE_BENCH_COMMIT in benchmarks/provenance.py.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu import machine

PAIRS = ("time-slice", "mps", "mps+priority+25", "gpushare/mps", "gpushare/time-slice")
RESERVE, END = 14.0, 10.0  # seconds before the end of the session; for a part to end by itself


@dataclass(frozen=True)
class Part:
    """`least`: with less time left it is not begun. `most`: seconds after which it is stopped."""

    name: str
    words: tuple[str, ...]
    least: float
    most: float
    takes_limit: bool = False  # it ends by itself, when it gets --limit


def parts(configurations: str) -> dict[str, Part]:
    colocation = (
        "benchmarks.gpu.colocation", "--seconds", "6", "--seeds", "1",
        "--configurations", configurations,
    )  # fmt: skip
    caps = ("benchmarks.gpu.caps", "--programs", "gpt,decode", "--levels", "25,50,75",
            "--neighbours", "none,rest", "--seconds", "2.5", "--base")  # fmt: skip
    suspend = ("benchmarks.gpu.suspend", "--times", "5", "--cycles", "40", "--parts")
    every = (
        Part("colocation", colocation, 90, 270, takes_limit=True),
        Part("leaks", ("benchmarks.gpu", "leaks"), 20, 130),
        Part("race", ("benchmarks.gpu", "race"), 20, 75),
        Part("caps-timeslice", (*caps, "timeslice"), 40, 90),
        Part("caps-mps", (*caps, "mps"), 40, 90),
        Part("suspend", (*suspend, "moves"), 30, 100),
        Part("overcommit", ("benchmarks.gpu.overcommit",), 150, 280),
        Part("overhead", ("benchmarks.gpu", "overhead"), 30, 120),
        Part("cycles", (*suspend, "cycles,checkpoint"), 40, 100),
    )
    return {part.name: part for part in every}


@dataclass
class Session:
    """`folder`: of all its results; each run of a part has a folder in it."""

    folder: Path
    archive: Path
    deadline: float
    outcomes: list[tuple[str, str, float]]

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def run(self, part: Part, number: int) -> None:
        begun = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        outcome = self._run(part, number) if self.left > part.least else "no time left"
        self.outcomes.append((part.name, outcome, time.monotonic() - begun))
        print(f"=== {part.name}: {outcome}, {self.left:.0f} s left", flush=True)
        self.pack()

    def _run(self, part: Part, number: int) -> str:
        name = f"{number}-{part.name}"
        limit = min(part.most, self.left - RESERVE)
        words = [*part.words, *(["--limit", f"{limit - 15:.0f}"] if part.takes_limit else [])]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *words], cwd=machine.ROOT, stdout=log, stderr=log,
                env=self._environment(name), start_new_session=True,
            )  # fmt: skip
            outcome = _ended(process, limit)
        if outcome != "done":
            print("\n".join(log_end(self.folder / f"{name}.log")), flush=True)
        return outcome

    def _environment(self, name: str) -> Mapping[str, str]:
        return {**os.environ, "GPUSHARE_BENCH_RESULTS": str(self.folder / name)}

    def pack(self) -> None:
        """Under another name first: an archive that is there is whole."""
        draft = self.archive.with_suffix(".part")
        with tarfile.open(draft, "w:gz") as packed:
            packed.add(self.folder, arcname=self.folder.name)
        draft.replace(self.archive)


def _ended(process: subprocess.Popen[bytes], limit: float) -> str:
    """First interrupted, so that it ends its programs and its daemon; then its whole group."""
    try:
        code = process.wait(limit)
        return {0: "done", 3: "incomplete"}.get(code, f"exit code {code}")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return f"stopped after {limit:.0f} s"


def log_end(path: Path) -> list[str]:
    """The end of what a part printed, without the daemon's own log."""
    lines = path.read_text(errors="replace").splitlines()
    return [f"  | {line[:200]}" for line in lines if "[info " not in line][-12:]


def rows(folder: Path) -> list[str]:
    """One line for each row of colocation, and which parts have a file."""
    lines = []
    for path in sorted(folder.glob("*/*.json")):
        body = json.loads(path.read_text())
        lines.append(f"{path.parent.name}/{path.name} {body['gpu']['uuid']}")
        if body["benchmark"] == "colocation":
            lines += [_row(each) for each in body["result"]["rows"]]
    return lines


def _row(row: Mapping[str, Any]) -> str:
    if "missing" in row:
        return f"  {row['lc']}+{row['be']} {row['configuration']}: {row['missing']}"
    ratios = [row[kind]["p99_ratio"] if kind in row else "-" for kind in ("response", "service")]
    flag = " SATURATED" if row["saturated"] else ""
    wrong = row["wrong_requests"] + row["wrong_checks"]
    name = f"  {row['lc']}+{row['be']} {row['configuration']}"
    return f"{name:<40} {ratios[0]} {ratios[1]} {row['be_share']}{flag}{' WRONG' * bool(wrong)}"


def arguments() -> argparse.Namespace:
    known = parts("")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.session", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the archive")
    parser.add_argument("--parts", default="colocation,colocation,race,caps-timeslice,leaks",
                        help=f"in this order; of {', '.join(known)}")  # fmt: skip
    parser.add_argument("--configurations", default=",".join(PAIRS), help="of colocation")
    parser.add_argument("--gpu", type=int, help="number of the GPU, where there are several")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    if unknown := set(options.parts) - set(known):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def main() -> int:
    options = arguments()
    begun = time.monotonic()
    if options.gpu is not None:
        os.environ["GPUSHARE_BENCH_GPU"] = str(options.gpu)
    machine.begin()
    name = machine.run_name()
    options.out.mkdir(parents=True, exist_ok=True)
    known = parts(options.configurations)
    with tempfile.TemporaryDirectory(prefix="gs-session-") as scratch:
        folder, archive = Path(scratch) / name, options.out / f"{name}.tar.gz"
        here = Session(folder, archive, begun + 60 * options.minutes, [])
        for number, part in enumerate(options.parts, 1):
            here.run(known[part], number)
        print("\n".join(rows(folder)))
    for part, outcome, took in here.outcomes:
        print(f"{part:<16} {outcome:<24} {took:5.0f} s")
    print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
