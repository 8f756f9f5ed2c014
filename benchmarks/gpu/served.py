# SPDX-License-Identifier: Apache-2.0
"""A gpushare daemon of a benchmark's own, on folders of its own, as its users call it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gpushare.client import Client
from gpushare.mechanisms.shm_paths import shared
from gpushare.model.errors import GpushareError

from . import machine

GPUSHARE = (sys.executable, "-m", "gpushare.cli")
PATIENCE = 120.0


@dataclass
class Site:
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @cached_property
    def client(self) -> Client:
        return Client(self.environment["GPUSHARE_SOCKET"])

    def answers(self) -> bool:
        """Whether the daemon does; its socket is there a little earlier."""
        with contextlib.suppress(GpushareError, OSError):
            self.client.version()
            return True
        return False

    @property
    def regions(self) -> Path:
        return Path(self.environment["GPUSHARE_RUNTIME_DIR"]) / "regions"

    def run(self, name: str, *options: str) -> list[str]:
        """What starts a program in a share of its own, on the GPU that is measured."""
        gpu = ["--gpu", machine.first_gpu()["uuid"]]
        return [*GPUSHARE, "run", "--name", name, *gpu, *options, "--"]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*GPUSHARE, *words], env=self.environment, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip

    def must(self, *words: str) -> str:
        """What the command prints; raises when it fails."""
        answer = self.command(*words)
        if answer.returncode:
            raise RuntimeError(f"gpushare {' '.join(words)}: {answer.stderr}")
        return answer.stdout

    def json(self, *words: str) -> Any:
        answer = self.command(*words, "-o", "json")
        return json.loads(answer.stdout) if answer.stdout.strip() else {"error": answer.stderr}

    def apply(self, policy: str) -> None:
        path = self.folder / "policy.toml"
        path.write_text(policy)
        self.must("apply", "-f", str(path))

    def until(self, condition: Any, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"timed out waiting for {what}")
            time.sleep(0.2)


def forget(runtime: Path) -> None:
    """What shares that outlive the daemon have in memory, its own folder being on a disk."""
    for name in ("swap", "boards"):
        shutil.rmtree(shared(runtime / name), ignore_errors=True)


@contextmanager
def site(settings: Mapping[str, str] | None = None) -> Iterator[Site]:
    """`settings`: further variables of the daemon and of the programs."""
    with tempfile.TemporaryDirectory(prefix="gs-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        own = {
            "GPUSHARE_SOCKET": str(folder / "s"),
            "GPUSHARE_STATE_DIR": str(folder / "state"),
            "GPUSHARE_RUNTIME_DIR": str(folder / "run"),
        }
        here = Site(folder, {**os.environ, **own, **(settings or {})})
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [*GPUSHARE, "daemon"], env=here.environment, stdout=log, stderr=log
            )
        try:
            here.until(here.answers, "the daemon")
            yield here
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)
            forget(folder / "run")
            print((folder / "log").read_text()[-4000:], file=sys.stderr)
