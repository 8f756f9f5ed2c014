# SPDX-License-Identifier: Apache-2.0
"""What a program in one share gets at of a program in another: the tested cells of the table in
docs/explanation/threat-model.md."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpushare.delivery.host import environment
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB
from support.machine import Machine
from support.mechanics import World
from support.shares import grant, share

pytestmark = [pytest.mark.contract, pytest.mark.timeout(300)]
STRANGER = Path(__file__).parents[1] / "support" / "stranger_program.py"
MIB_WRITTEN, MIB_SEARCHED = 256, 512
ILLEGAL_ADDRESS = 700
TIMESLICE = (MechanismName.TIMESLICE, MechanismName.GUARD)
MPS = (MechanismName.MPS, MechanismName.GUARD)


class Stranger:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def ask(self, *words: object) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, self.process.communicate()[1]
        return int(json.loads(answer))


@pytest.fixture(params=[TIMESLICE, MPS], ids="+".join)
def strangers(
    request: pytest.FixtureRequest, any_machine: Machine, short_path: Path
) -> Iterator[tuple[Stranger, Stranger]]:
    """A program in each of two shares of one GPU."""
    world = World(any_machine, short_path)
    gpu = world.snapshot().gpus[0].uuid
    with ExitStack() as stack:

        def begin(number: int) -> Stranger:
            one = share(grant(gpu, 2 * GIB), by=request.param, id=f"{number:012x}")
            edits = stack.enter_context(world.granted(one))
            env = environment(edits, any_machine.environment)
            command = (sys.executable, STRANGER)
            process = any_machine.start(*command, env=env, stdin=subprocess.PIPE)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            found = Stranger(process)
            found.ask("start")
            return found

        yield begin(1), begin(2)


def test_memory_that_one_program_frees_holds_nothing_of_it_for_another(strangers) -> None:
    owner, other = strangers
    owner.ask("fill", MIB_WRITTEN)
    owner.ask("free")
    assert other.ask("search", MIB_SEARCHED) == 0


def test_memory_of_a_killed_program_holds_nothing_of_it_for_another(strangers) -> None:
    owner, other = strangers
    owner.ask("fill", MIB_WRITTEN)
    owner.process.kill()
    owner.process.wait()
    assert other.ask("search", MIB_SEARCHED) == 0


def test_an_address_of_one_program_leads_nowhere_in_another(strangers) -> None:
    owner, other = strangers
    at = owner.ask("fill", MIB_WRITTEN)
    assert other.ask("reach", at) == 0
    assert owner.ask("intact")


@pytest.mark.parametrize("strangers", [TIMESLICE], ids="+".join, indirect=True)
def test_a_kernel_that_writes_elsewhere_ends_only_its_program(strangers, any_machine) -> None:
    if any_machine.image is not None:
        pytest.skip("simulated kernels write nothing")
    owner, other = strangers
    at = owner.ask("fill", MIB_WRITTEN)
    assert other.ask("poke", at) == ILLEGAL_ADDRESS
    assert owner.ask("intact")
