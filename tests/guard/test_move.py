# SPDX-License-Identifier: Apache-2.0
"""Memory that leaves the GPU and comes back, at the same addresses, on a simulated machine."""

import ctypes
import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpushare.guard import Failure, Flag, Phase, Region, RegionGrant, library
from gpushare.model.units import MIB, Bytes
from support.daemon import until

SCENARIOS = [
    "some_cycles",
    "gives_its_memory_up",
    "keeps_a_part",
    "copies_nothing_twice",
    "graphs_hold_addresses",
    "waits_for_work",
    "streams_with_host_functions",
    "a_capture_is_awaited",
    "calls_wait",
    "can_be_given_up",
    "children_start_afresh",
]
UNIT = MIB
CONTEXT = 500 * MIB  # what a context takes on the simulated card


class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("unit", "bytes", "ready", "taken")]


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool of host memory, by the functions that the daemon uses."""

    folder: Path

    def enable(self, size: int) -> None:
        assert library().gpushare_swap_pool_enable(bytes(self.folder), ctypes.c_uint64(size)) == 0

    def reap(self) -> int:
        return int(library().gpushare_swap_pool_reap(bytes(self.folder)))

    @property
    def info(self) -> Info:
        info = Info()
        assert library().gpushare_swap_pool_info(bytes(self.folder), ctypes.byref(info)) == 0
        return info


@pytest.fixture
def pool(tmp_path: Path) -> Callable[..., Pool]:
    """A pool of so many bytes, of which some are touched ahead."""

    def make(size: int, *, touched: int = 0) -> Pool:
        folder = tmp_path / "swap"
        folder.mkdir()
        native, name = library(), bytes(folder)
        of = ctypes.c_uint64
        assert native.gpushare_swap_pool_create(name, of(size), of(UNIT)) == 0
        native.gpushare_swap_pool_prefault.restype = ctypes.c_int64
        assert native.gpushare_swap_pool_prefault(name, of(touched), 2) == touched
        return Pool(folder)

    return make


PLACES = {
    "own": (0, Flag.MOVABLE),
    "own-ahead": (0, Flag.MOVABLE | Flag.AHEAD),
    "pool": (1024 * MIB, Flag.MOVABLE),
    "pool-ahead": (1024 * MIB, Flag.MOVABLE | Flag.AHEAD),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_moves(guarded, native_test, pool, scenario, place) -> None:
    share = guarded(512 * MIB)
    size, flags = PLACES[place]
    share.region.set_flags(flags)
    env = {}
    if size:
        env["GPUSHARE_SWAP"] = str(pool(size, touched=100 * MIB).folder)
    ran = share.run(native_test("suspend_test"), scenario, env=env)
    assert ran.returncode == 0, ran.stderr
    assert share.region.snapshot().unhooked == 0
    assert share.gpu.peak <= share.gpu.limit


def test_nothing_is_lost_in_a_hundred_cycles(guarded, native_test, pool) -> None:
    test_moves(guarded, native_test, pool, "cycles", "pool-ahead")


@pytest.mark.parametrize("folder", [None, "nowhere"])
def test_runs_on_without_enough_host_memory(guarded, native_test, pool, tmp_path, folder) -> None:
    share = guarded(512 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    small = pool(50 * MIB)
    place = tmp_path / folder if folder else small.folder
    scenario = "never_moves" if folder else "lacks_host_memory"
    ran = share.run(native_test("refuse_test"), scenario, env={"GPUSHARE_SWAP": str(place)})
    assert ran.returncode == 0, ran.stderr
    assert small.info.taken <= 50 * MIB


def test_refuses_what_cannot_move(guarded, native_test) -> None:
    share = guarded(512 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    ran = share.run(native_test("refuse_test"), "refuses_what_cannot_move")
    assert ran.returncode == 0, ran.stderr


class Holder:
    """hold_test in a share."""

    def __init__(self, machine, program: Path, *arguments: object, env) -> None:
        words = [str(argument) for argument in arguments]
        self.process = machine.start(program, *words, env=env, stdin=subprocess.PIPE)

    def hears(self, line: str) -> None:
        assert self.process.stdout.readline() == f"{line}\n", self.process.stderr.read()

    def asked(self) -> None:
        self.process.stdin.write("?\n")
        self.process.stdin.flush()

    def is_good(self) -> None:
        self.asked()
        self.hears("good")

    def end(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(120) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(120)


@contextmanager
def holder(share, program: Path, *arguments: object, swap: Pool | None = None) -> Iterator[Holder]:
    env = dict(share.environment)
    if swap:
        env["GPUSHARE_SWAP"] = str(swap.folder)
    held = Holder(share.machine, program, *arguments, env=env)
    try:
        yield held
    finally:
        held.kill()
        held.process.stdout.close()
        held.process.stderr.close()
        held.process.stdin.close()


def all_in(region: Region, phase: Phase) -> None:
    def reached() -> bool:
        slots = region.snapshot().slots
        return bool(slots) and all(slot.phase is phase for slot in slots)

    until(reached, f"every program to be in {phase}")


def test_all_processes_of_a_share_move(guarded, native_test, pool) -> None:
    share, swap, program = guarded(812 * MIB), pool(300 * MIB), native_test("hold_test")
    share.region.set_flags(Flag.MOVABLE)
    with (
        holder(share, program, "hold", 100, 1, swap=swap) as one,
        holder(share, program, "hold", 130, 2, swap=swap) as two,
    ):
        one.hears("ready")
        two.hears("ready")
        for _ in range(5):
            share.region.suspend(Bytes(0))
            all_in(share.region, Phase.AWAY)
            assert sum(slot.away for slot in share.region.snapshot().slots) == 230 * MIB
            assert swap.info.taken == 230 * MIB
            share.region.resume()
            all_in(share.region, Phase.RUNS)
            one.is_good()
            two.is_good()
        one.end()
        two.end()


def test_a_program_killed_while_away_leaves_nothing(guarded, native_test, pool) -> None:
    share, swap = guarded(512 * MIB), pool(300 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    with holder(share, native_test("hold_test"), "hold", 100, 1, swap=swap) as held:
        held.hears("ready")
        share.region.suspend(Bytes(0))
        all_in(share.region, Phase.AWAY)
        assert swap.info.taken == 100 * MIB
        held.kill()
        assert swap.reap() == 100
        assert swap.reap() == 0
        assert swap.info.taken == 0
        share.sweep()
        assert share.gpu.used == 0


def test_a_program_of_a_suspended_share_takes_nothing(guarded, native_test) -> None:
    share = guarded(512 * MIB)
    share.region.set_flags(Flag.MOVABLE)
    share.region.suspend(Bytes(0))
    with holder(share, native_test("hold_test"), "hold", 10, 1) as held:
        maps = Path(f"/proc/{held.process.pid}/maps")
        until(lambda: str(share.region.path) in maps.read_text(), "the program to find its region")
        assert share.gpu.used == 0
        share.region.resume()
        held.hears("ready")
        held.end()


def test_a_program_waits_for_room_on_the_gpu(guarded, native_test) -> None:
    share, program = guarded(512 * MIB), native_test("hold_test")
    share.region.set_flags(Flag.MOVABLE)
    with holder(share, program, "hold", 200, 1) as held:
        held.hears("ready")
        share.region.suspend(Bytes(0))
        all_in(share.region, Phase.AWAY)
        with filled(share.machine, program, left=100):
            share.region.resume()
            all_in(share.region, Phase.RETURNS)
            share.region.suspend(Bytes(0))  # changed its mind
            all_in(share.region, Phase.AWAY)
            assert share.region.snapshot().slots[0].away == 200 * MIB
            share.region.resume()
            all_in(share.region, Phase.RETURNS)
        all_in(share.region, Phase.RUNS)
        held.is_good()
        held.end()


@contextmanager
def filled(machine, program: Path, *, left: int) -> Iterator[None]:
    """Another program has all of the GPU but so many MiB (and a context)."""
    filler = Holder(machine, program, "fill", left, env={})
    try:
        filler.hears("ready")
        yield
    finally:
        filler.kill()
        filler.process.stdout.close()
        filler.process.stderr.close()
        filler.process.stdin.close()


def test_two_shares_take_turns_on_memory_that_one_fills(
    guarded, native_test, pool, tmp_path
) -> None:
    first, swap, program = guarded(512 * MIB), pool(300 * MIB), native_test("hold_test")
    grant = RegionGrant(uuid=first.gpu.uuid, limit=first.gpu.limit, context=first.gpu.context)
    second = dataclasses.replace(first, region=Region.create(tmp_path / "second", [grant]))
    first.region.set_flags(Flag.MOVABLE)
    second.region.set_flags(Flag.MOVABLE)
    with (
        filled(first.machine, program, left=2 * CONTEXT // MIB + 280),
        holder(first, program, "hold", 200, 1, swap=swap) as one,
    ):
        one.hears("ready")
        first.region.suspend(Bytes(0))
        all_in(first.region, Phase.AWAY)
        with holder(second, program, "hold", 200, 2, swap=swap) as two:
            two.hears("ready")
            _take_turns((first, one), (second, two))


def _take_turns(*sides: tuple) -> None:
    for turn in range(10):
        (comes, it), (goes, _) = sides[turn % 2], sides[1 - turn % 2]
        goes.region.suspend(Bytes(0))
        comes.region.resume()
        all_in(goes.region, Phase.AWAY)
        all_in(comes.region, Phase.RUNS)
        it.is_good()
        assert goes.region.snapshot().slots[0].failure is Failure.NONE


def test_a_pool_grows_and_shrinks(pool) -> None:
    swap = pool(8 * MIB, touched=4 * MIB)
    assert (swap.info.bytes, swap.info.ready) == (8 * MIB, 4 * MIB)
    swap.enable(16 * MIB)
    assert swap.info.bytes == 16 * MIB
    swap.enable(2 * MIB)
    assert (swap.info.bytes, swap.info.ready) == (2 * MIB, 2 * MIB)
    assert (swap.folder / "data").stat().st_blocks * 512 <= 2 * MIB


@pytest.mark.parametrize("damage", ["missing", "short", "foreign"])
def test_a_folder_that_is_no_pool_is_refused(pool, damage) -> None:
    swap = pool(8 * MIB)
    table = swap.folder / "table"
    if damage == "missing":
        table.unlink()
    elif damage == "short":
        os.truncate(table, 100)
    else:
        table.write_bytes(bytes(table.stat().st_size))
    assert swap.reap() < 0
