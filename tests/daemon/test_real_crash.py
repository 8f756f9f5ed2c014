# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at random moments: daemons, `gpushare run` wherever it is, programs, children."""

import random
import subprocess
import sys

import pytest

from support.daemon import Daemon, until

from .test_real import FAMILY, left_behind

ROUNDS = 40
SHARES = (("-m", "2GiB"), ("-m", "2GiB", "-c", "30"), ("-m", "90GiB"), ())


class Chaos:
    """Everything drawn from `dice`, so that a seed names a story; moments are the machine's."""

    def __init__(self, daemon: Daemon, dice: random.Random) -> None:
        self.daemon, self.dice = daemon, dice
        self.runs: list[subprocess.Popen] = []

    def start(self) -> None:
        share = self.dice.choice(SHARES)
        self.runs.append(
            subprocess.Popen(
                [sys.executable, "-m", "gpushare.cli", "run", *share, "--", *self._program()],
                env=self.daemon.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def kill_one(self) -> None:
        if self.runs:
            self._end(self.runs.pop(self.dice.randrange(len(self.runs))))

    def kill_daemon(self) -> None:
        self.daemon.kill()
        if self.dice.random() < 0.5:
            self.kill_one()
        self.daemon.start()
        self.check()

    def check(self) -> None:
        """Guaranteed memory is never above what the GPU has, whatever has just happened."""
        for gpu in self.daemon.json("gpus")["items"]:
            memory = gpu["memory"]
            assert memory["granted"] <= memory["total"] - memory["reserved"]

    def end(self) -> None:
        while self.runs:
            self._end(self.runs.pop())

    def _program(self) -> tuple[str, ...]:
        source = self.dice.choice([FAMILY, "import sys; sys.stdin.read()", "pass"])
        return sys.executable, "-c", source

    def _end(self, run: subprocess.Popen) -> None:
        run.kill()
        run.stdin.close()
        run.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_random_kills_leave_nothing_behind(daemon, seed):
    chaos = Chaos(daemon, random.Random(seed))
    acts = (chaos.start, chaos.start, chaos.start, chaos.kill_one, chaos.kill_one)
    for _ in range(ROUNDS):
        chaos.dice.choice((*acts, chaos.kill_daemon, chaos.check))()
    chaos.end()
    until(lambda: not daemon.shares(), "every share to be released", 60)
    until(lambda: not left_behind(daemon), "everything to be cleaned up", 60)
    memory = daemon.json("gpus")["items"][0]["memory"]
    assert memory["granted"] == memory["used"] == 0
