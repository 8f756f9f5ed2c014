# SPDX-License-Identifier: Apache-2.0
"""Eight programs of one share race by every path and are killed at random: none gets too much."""

import random
import subprocess
import sys

import pytest

from gpushare.guard import Flag
from gpushare.model.units import MIB
from support.machine import Machine

PROCESSES = 8
KILLS = 12
CONTEXT = 500 * MIB  # what a context takes on the simulated card
ROOM = (PROCESSES - 1) * CONTEXT + 1024 * MIB  # next to the first context

# Outside the share: one line of the card's used bytes for each line it is sent.
WATCH = """
import pynvml, sys
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
print(pynvml.nvmlDeviceGetMemoryInfo(gpu).used, flush=True)
for line in sys.stdin:
    print(max(pynvml.nvmlDeviceGetMemoryInfo(gpu).used for _ in range(200)), flush=True)
"""


class PeakUse:
    """The largest use of the card that it sees, over what there was before."""

    def __init__(self, machine: Machine) -> None:
        self._process = machine.start(sys.executable, "-c", WATCH, stdin=subprocess.PIPE)
        self._before = int(self._process.stdout.readline())

    def look(self) -> int:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()) - self._before

    def close(self) -> None:
        self._process.communicate(timeout=120)


@pytest.mark.parametrize("flags", [Flag(0), Flag.MOVABLE], ids=["native", "movable"])
def test_eight_programs_never_exceed_their_share(guarded, native_test, flags) -> None:
    share = guarded(ROOM, context=CONTEXT)
    share.region.set_flags(flags)
    fighter = native_test("stress_test")
    watcher = PeakUse(share.machine)
    chance = random.Random(20)

    def start(seed: int) -> subprocess.Popen[str]:
        process = share.start(fighter, str(seed))
        assert process.stdout.readline() == "fights\n"
        return process

    fighters = [start(seed) for seed in range(PROCESSES)]
    seen = [watcher.look()]
    for kill in range(KILLS):
        place = chance.randrange(PROCESSES)
        assert fighters[place].poll() is None, fighters[place].communicate()[1]
        _end(fighters[place])
        fighters[place] = start(PROCESSES + kill)
        seen.append(watcher.look())
        gpu = share.gpu
        assert gpu.used <= gpu.peak <= gpu.limit
    for process in fighters:
        _end(process)
    watcher.close()

    assert max(seen) <= share.gpu.limit
    assert max(seen) > PROCESSES * CONTEXT  # it was a fight
    assert share.gpu.denied > 0
    share.sweep()
    assert share.gpu.used == 0


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=120)
