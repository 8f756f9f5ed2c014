# SPDX-License-Identifier: Apache-2.0
"""A program that holds GPU memory and works until it is asked to end: examples/…/train.py."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .daemon import Daemon, until

TRAIN = Path(__file__).parents[2] / "examples" / "01-three-programs" / "train.py"


@contextmanager
def training(daemon: Daemon, *share: str, memory: str = "2GiB") -> Iterator[subprocess.Popen[str]]:
    """`gpushare run SHARE -- train.py`, past its allocation; ended when the block is left."""
    command = [sys.executable, TRAIN, "--memory", memory, "--steps", "0"]
    output = daemon.folder / "train.out"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gpushare.cli", "run", *share, "--", *map(str, command)],
            env=daemon.environment,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=sink,
            text=True,
        )
    assert process.stdin is not None

    def settled() -> bool:
        text = output.read_text()
        assert process.poll() is None, text
        return "allocated" in text or "refused after" in text

    try:
        until(settled, "the program to allocate")
        yield process
    finally:
        process.stdin.close()
        process.wait(120)
