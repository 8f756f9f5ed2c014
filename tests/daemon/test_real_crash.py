# SPDX-License-Identifier: Apache-2.0
"""Kill -9 at random moments: daemons, `gpushare run` wherever it is, programs, children.

With tenants too, of which some have borrowed what others are guaranteed. What is granted is read
from the regions, which the guards obey, and not only from what the daemon says.
"""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpushare.guard import Region
from gpushare.model.units import GIB
from support.daemon import Daemon, until
from support.program import training

from .test_real import FAMILY, left_behind

ROUNDS = 40
LATEST_KILL_S = 1.0
REFUSED_S = 60.0  # after which the daemon asks a share again that did not leave the GPU in time
STAYS = "import sys; sys.stdin.read()"
PROGRAMS = (FAMILY, STAYS, "pass")
SHARES = (("-m", "2GiB"), ("-m", "2GiB", "-c", "30"), ("-m", "90GiB"), ())


class Chaos:
    """Everything drawn from `dice`, so that a seed names a story; moments are the machine's."""

    def __init__(self, daemon: Daemon, dice: random.Random) -> None:
        self.daemon, self.dice = daemon, dice
        self.runs: list[subprocess.Popen] = []

    def start(self) -> None:
        self.run(*self.dice.choice(SHARES))

    def run(self, *share: str, source: str = "") -> None:
        program = (sys.executable, "-c", source or self.dice.choice(PROGRAMS))
        self.runs.append(
            subprocess.Popen(
                [sys.executable, "-m", "gpushare.cli", "run", *share, "--", *program],
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
        self._restart(self.kill_one if self.dice.random() < 0.5 else None)

    def _restart(self, meanwhile: Callable[[], None] | None = None) -> None:
        time.sleep(self.dice.random() * LATEST_KILL_S)  # somewhere in what was just begun
        self.daemon.kill()
        if meanwhile:
            meanwhile()
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

    def _end(self, run: subprocess.Popen) -> None:
        run.kill()
        run.stdin.close()
        run.wait()


POLICY = """
apiVersion = "v1"
min_runtime = "1s"

[tenant.research]
guaranteed = { memory = "100GiB" }

[tenant.batch]
weight = 3

[tenant.guest]
limit = { memory = "30GiB" }
shares = 3
"""
GUESTS, GUEST_BYTES = 3, 30 * GIB


class TenantChaos(Chaos):
    def __init__(self, daemon: Daemon, dice: random.Random) -> None:
        super().__init__(daemon, dice)
        policy = daemon.folder / "policy.toml"
        policy.write_text(POLICY)
        done = daemon.gpushare("apply", "-f", policy)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        tenant = self.dice.choice(("research", "batch", "batch", "guest"))
        size = self.dice.choice(("10GiB", "40GiB", "70GiB"))
        self.run("--tenant", tenant, "-m", size, "-p", self.dice.choice(("low", "normal", "high")))

    def check(self) -> None:
        super().check()
        shares = self.daemon.shares()
        self._check_regions([share for share in shares if share["state"] in PRESENT])
        guests = [share for share in shares if share["tenant"] == "guest"]
        held = [share for share in guests if share["state"] in PRESENT]
        assert len(guests) <= GUESTS, guests
        assert sum(share["memory"]["limit"] for share in held) <= GUEST_BYTES, held
        done = self.daemon.gpushare("audit", "verify")
        assert done.returncode == 0, done.stdout

    def _check_regions(self, present: list[dict]) -> None:
        """What the regions of the shares that are on the GPU allow together."""
        paths = [self.daemon.runtime / "regions" / share["id"] for share in present]
        limits = [limit for path in paths if path.exists() for limit in _limits(path).values()]
        memory = self.daemon.json("gpus")["items"][0]["memory"]
        assert sum(limits) <= memory["total"] - memory["reserved"], present

    def demand(self) -> None:
        """Others have all; research gets what it is guaranteed, whenever the daemon dies."""
        borrower = ("--tenant", "batch", "--name", "borrower", "-m", "130GiB")
        with training(self.daemon, *borrower, memory="1GiB"):
            self.run("--tenant", "research", "--name", "owner", "-m", "100GiB", source=STAYS)
            until(lambda: self.daemon.share("owner"), "its request")  # fails without a daemon
            for _ in range(2):
                self._restart()
            until(lambda: self._state("owner") == "running", "the owner's turn", REFUSED_S * 2)
            self.check()
            self.end()
            until(lambda: self._state("borrower") == "running", "its return", REFUSED_S * 2)

    def _state(self, name: str) -> str:
        return (self.daemon.share(name) or {"state": "gone"})["state"]


PRESENT = {"granted", "running"}


def _limits(region: Path) -> dict[str, int]:
    """None of a share that has just ended."""
    try:
        return dict(Region(region).limits())
    except OSError:
        return {}


def all_is_gone(chaos: Chaos) -> None:
    daemon = chaos.daemon
    chaos.end()
    daemon.until_empty()
    until(lambda: not left_behind(daemon), "everything to be cleaned up")
    memory = daemon.json("gpus")["items"][0]["memory"]
    assert memory["granted"] == memory["used"] == 0


def play(chaos: Chaos, rounds: int) -> None:
    acts = (chaos.start, chaos.start, chaos.start, chaos.kill_one, chaos.kill_one)
    for _ in range(rounds):
        chaos.dice.choice((*acts, chaos.kill_daemon, chaos.check))()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_random_kills_leave_nothing_behind(daemon, seed):
    chaos = Chaos(daemon, random.Random(seed))
    play(chaos, ROUNDS)
    all_is_gone(chaos)


def tenants(daemon: Daemon, seed: int, rounds: int) -> None:
    chaos = TenantChaos(daemon, random.Random(seed))
    play(chaos, rounds)
    chaos.kill_daemon()
    chaos.end()
    daemon.until_empty()
    chaos.demand()
    all_is_gone(chaos)
    reclaimed = daemon.json("audit", "ls", "--action", "share.reclaimed.suspend")["items"]
    assert reclaimed, "no room was reclaimed"
    assert daemon.gpushare("audit", "verify").returncode == 0


@pytest.mark.timeout(600)
def test_tenants_keep_what_they_are_guaranteed_when_daemons_are_killed(daemon):
    tenants(daemon, 1, 8)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(5))
def test_tenants_keep_what_they_are_guaranteed_in_long_stories(daemon, seed):
    tenants(daemon, seed, ROUNDS)
