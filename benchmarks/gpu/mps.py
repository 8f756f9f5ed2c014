# SPDX-License-Identifier: Apache-2.0
"""An MPS daemon of one's own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import machine

CONTROL = "nvidia-cuda-mps-control"


@contextmanager
def daemon() -> Iterator[dict[str, str]]:
    """The environment in which programs are its clients."""
    with tempfile.TemporaryDirectory(prefix="gs-mps-", ignore_cleanup_errors=True) as name:
        # By its UUID: a server that sees one GPU has no other number for it than 0.
        gpu = {"CUDA_VISIBLE_DEVICES": machine.first_gpu()["uuid"]} if machine.selected() else {}
        places = {
            **gpu,
            "CUDA_MPS_PIPE_DIRECTORY": str(Path(name) / "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": str(Path(name) / "log"),
        }
        for place in ("pipe", "log"):
            (Path(name) / place).mkdir()
        env = {**os.environ, **places}
        subprocess.run([CONTROL, "-d"], env=env, check=True, timeout=60)
        try:
            yield places
        finally:
            with suppress(subprocess.SubprocessError):
                subprocess.run(
                    [CONTROL], input="quit -t 5\n", env=env, text=True, timeout=60, check=False
                )
