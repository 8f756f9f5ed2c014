# SPDX-License-Identifier: Apache-2.0
"""Processes in pid namespaces of their own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.model.share import ProcessRef

from .daemon import until


@contextmanager
def contained() -> Iterator[tuple[ProcessRef, int]]:
    """The first process of a pid namespace, as it is here, and the namespace as regions name it."""
    words = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "cat")
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            (child,) = until(lambda: _children(process), "the first process of the namespace")
            here = ProcProcesses().find(child)
            assert here is not None
            yield here, os.stat(f"/proc/{child}/ns/pid").st_ino & 0xFFFFFFFF  # noqa: PTH116
        finally:
            process.kill()


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    if process.poll() is not None:
        pytest.skip("this user may not make a pid namespace")
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]
