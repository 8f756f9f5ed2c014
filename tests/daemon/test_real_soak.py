# SPDX-License-Identifier: Apache-2.0
"""A long time of everything at once: many programs that come, go and are killed, while the daemon
reloads its configuration, GPUs are drained, and the state is backed up and restored.

The daemon then holds as much memory, as many descriptors and as many threads as before, and nothing
is left of the shares. GPUSHARE_SOAK_SECONDS is the length, an hour by default.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import Daemon, until
from support.flatness import Held, growth, held

from .test_real import left_behind

SECONDS = float(os.environ.get("GPUSHARE_SOAK_SECONDS", "3600"))
PROGRAMS = int(os.environ.get("GPUSHARE_SOAK_PROGRAMS", "100"))
SEED = 1
SAMPLE_SECONDS = 2.0
# What may be held more at the end than after the warm-up: noise of the allocator, and a call or two
# that is in progress when a sample is taken.
MEGABYTES, DESCRIPTORS, THREADS = 12, 12, 6
# Programs with a CUDA context and memory on the GPU, until their standard input closes.
USES_THE_GPU = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, block = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
cuda.cuInit(0)
cuda.cuDeviceGet(ctypes.byref(device), 0)
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
cuda.cuCtxSetCurrent(context)
cuda.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(64 << 20))
sys.stdin.read()
"""


class Soak:
    """What happens is drawn from `dice`; when, depends on the machine."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self.backup_file = daemon, folder / "backup.zip"
        self.dice = random.Random(SEED)
        self.runs: list[subprocess.Popen[bytes]] = []
        self.counts: Counter[str] = Counter()

    def start(self) -> None:
        size = self.dice.choice(("1GiB", "2GiB", "3GiB"))
        more = self.dice.choice(((), ("-c", "20"), ("-p", "low")))
        self.runs.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "gpushare.cli", "run", "-m", size, *more, "--"),
                    *(sys.executable, "-c", USES_THE_GPU),
                ],
                env=self.daemon.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def end(self) -> None:
        self._over(kill=False)

    def kill(self) -> None:
        self._over(kill=True)

    def reload(self) -> None:
        self._command("daemon", "reload")

    def drain(self) -> None:
        gpu = str(self.dice.randrange(8))
        self._command("drain", gpu, "--no-wait", "--suspend")
        self._command("uncordon", gpu)

    def back_up(self) -> None:
        self._command("backup", "--force", self.backup_file)
        self._restored("--dry-run")

    def look(self) -> None:
        for words in (("ps",), ("gpus",), ("daemon", "status")):
            self._command(*words)

    def restore(self) -> None:
        """The programs go on without the daemon meanwhile."""
        restored = False
        while not restored:
            self._command("backup", "--force", self.backup_file)
            assert self.daemon.stop() == 0
            restored = self._restored()
            self.daemon.start()

    def _restored(self, *options: str) -> bool:
        """False: programs have begun since the backup, which would lose them."""
        done = self.daemon.gpushare("restore", *options, self.backup_file, timeout=300)
        assert done.returncode == 0 or "GS1607" in done.stderr, done.stderr
        return done.returncode == 0

    def churn(self, seconds: float) -> list[Held]:
        """Everything but a restore, for so long; what the daemon held meanwhile."""
        acts = {self.reload: 1, self.drain: 1, self.back_up: 1, self.look: 4}
        deadline, due, samples = time.monotonic() + seconds, 0.0, []
        while time.monotonic() < deadline:
            self._keep_as_many()
            if time.monotonic() >= due:
                samples.append(held(self.daemon.process.pid))
                due = time.monotonic() + SAMPLE_SECONDS
            if self.dice.random() < 0.2:
                [act] = self.dice.choices(list(acts), list(acts.values()))
                self._count(act)
        return samples

    def finish(self) -> None:
        while self.runs:
            self.end()

    def _keep_as_many(self) -> None:
        if len(self.runs) < PROGRAMS:
            self._count(self.start)
        else:
            self._count(self.dice.choice((self.end, self.kill)))

    def _count(self, act: Callable[[], None]) -> None:
        act()
        self.counts[act.__name__] += 1

    def _over(self, *, kill: bool) -> None:
        run = self.runs.pop(self.dice.randrange(len(self.runs)))
        if kill:
            run.kill()
        run.stdin.close()
        try:
            run.wait(60)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()

    def _command(self, *words: str | Path) -> None:
        done = self.daemon.gpushare(*words, timeout=300)
        assert done.returncode == 0, (words, done.stdout, done.stderr)


def flat(samples: list[Held]) -> None:
    """Without the first third, in which caches fill and the programs are started."""
    grown = growth(samples[len(samples) // 3 :])
    assert grown.memory <= MEGABYTES, (grown, samples[-1])
    assert grown.descriptors <= DESCRIPTORS, (grown, samples[-1])
    assert grown.threads <= THREADS, (grown, samples[-1])


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 3600)
@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_a_long_time_of_everything_leaves_the_daemon_as_it_was(daemon, tmp_path):
    soak = Soak(daemon, tmp_path)
    while len(soak.runs) < PROGRAMS:
        soak.start()
    try:
        flat(soak.churn(SECONDS / 2))
        soak.restore()
        flat(soak.churn(SECONDS / 2))
    finally:
        soak.finish()
    assert soak.counts["kill"] > 0
    daemon.until_empty()
    until(lambda: not left_behind(daemon), "everything to be cleaned up", 120)
    assert daemon.gpushare("audit", "verify").returncode == 0
    for gpu in daemon.json("gpus")["items"]:
        assert gpu["memory"]["granted"] == gpu["memory"]["used"] == 0
