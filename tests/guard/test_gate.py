# SPDX-License-Identifier: Apache-2.0
"""High-priority work next to other work, on a simulated GPU: what waits, and until when."""

import contextlib
import mmap
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpushare.guard import Region, RegionGrant, layout, library_path
from gpushare.guard.gpu_page import GpuPage, Rank, SharePolicy, ShareSlot
from gpushare.guard.region import Flag, Phase
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.units import GIB, Bytes
from support.daemon import until
from support.machine import Machine

LONG = "2000000"  # ns of one kernel of the job
SHORT = "400000"


class Tenants:
    """Shares on one GPU page, and their programs."""

    def __init__(self, machine: Machine, uuid: GpuId, folder: Path, program: Path) -> None:
        self.machine, self._uuid, self._folder, self._program = machine, uuid, folder, program
        self.page = GpuPage.create(folder / uuid, uuid)
        self.environment = {"LD_PRELOAD": str(library_path())}
        self._policies: dict[int, SharePolicy] = {}
        self._running: list[subprocess.Popen[str]] = []

    def free(self) -> int:
        """The lowest free share slot."""
        return next(number for number in range(64) if number not in self._policies)

    def start(
        self, *work: str, number: int | None = None, movable: bool = False, **policy: object
    ) -> subprocess.Popen[str]:
        """A program in a share of its own; returns when it has launched its first kernel."""
        number = self.free() if number is None else number
        self._policies[number] = SharePolicy(share=ShareId(f"share{number}"), **policy)
        self.page.set_share(number, self._policies[number])
        grant = RegionGrant(uuid=self._uuid, limit=Bytes(2 * GIB), share_slot=number)
        region = Region.create(self._folder / f"region{number}", [grant])
        if movable:
            region.set_flags(Flag.MOVABLE)
        env = {
            **self.environment,
            "GPUSHARE_REGION": str(region.path),
            "GPUSHARE_BOARDS": str(self._folder),
            "GPUSHARE_GUARD_LOG": str(self._folder / "log"),
        }
        process = self.machine.start(self._program, *work, env=env, stdin=subprocess.PIPE)
        self._running.append(process)
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        return process

    def leave(self, number: int) -> None:
        """The share has ended: its share slot is free."""
        del self._policies[number]
        self.page.set_share(number, None)

    def region(self, number: int) -> Region:
        return Region(self._folder / f"region{number}")

    def share_slot(self, number: int) -> ShareSlot:
        return next(slot for slot in self.page.snapshot().share_slots if slot.number == number)

    def change(self, number: int, **policy: object) -> None:
        self._policies[number] = SharePolicy(share=self._policies[number].share, **policy)
        self.page.set_share(number, self._policies[number])

    def log(self) -> str:
        """What the guards logged."""
        path = self._folder / "log"
        return path.read_text() if path.exists() else ""

    def launches(self, number: int, count: int) -> None:
        """Returns when the share has launched that much more."""
        before = self.share_slot(number).launches
        self.until(
            lambda: self.share_slot(number).launches >= before + count, f"{number} does not launch"
        )

    @contextlib.contextmanager
    def gate_closed_without_end(self, number: int) -> Iterator[None]:
        """As by a high-priority process that is never silent and never done."""
        bit = layout.PREEMPT_BITS
        with self.page.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            page = layout.GsGpuPage.from_buffer(memory)
            process = page.process_slot[layout.PROCESS_SLOTS - 1]
            process.share_slot, process.preempt_bit = layout.SHARE_SLOTS - 1, bit
            process.beat_ns = process.until_ns = 2**62
            process.pid = os.getpid()
            page.header.process_slots_high = layout.PROCESS_SLOTS
            page.header.preempt_bits |= 1 << (bit - 1)
            page.share_slot[number].gate |= 1 << (bit - 1)
            del process, page
            yield

    def until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            until(holds, what)
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.page.snapshot()}") from None

    def close(self) -> None:
        for process in self._running:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate(timeout=120)


def stays_closed(tenants: Tenants, number: int) -> bool:
    """Not only for the kernel with which every program begins."""
    gates = [tenants.share_slot(number).gate]
    for _ in range(3):
        time.sleep(0.02)
        gates.append(tenants.share_slot(number).gate)
    return all(gates)


def overruled(slot: ShareSlot) -> bool:
    return slot.overrides > 0 and slot.gate == 0


def finish(process: subprocess.Popen[str]) -> int:
    """How often the program did its work."""
    out, err = process.communicate("", timeout=60)
    assert process.returncode == 0, err
    return int(out)


@pytest.fixture
def tenants(machine: Machine, tmp_path: Path, native_test) -> Iterator[Tenants]:
    uuid = GpuId(machine.python(_UUID).stdout.strip())
    running = Tenants(machine, uuid, tmp_path, native_test("gate_test"))
    yield running
    running.close()


_UUID = """
import pynvml
pynvml.nvmlInit()
print(pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0)))
"""


def test_alone_nothing_is_put_into_the_streams(tenants: Tenants) -> None:
    job = tenants.start("work", LONG, rank=Rank.LOW)
    service = tenants.start("serve", SHORT, "0", rank=Rank.NORMAL)
    for number in (0, 1):
        tenants.launches(number, 10)
    assert finish(job) > 0
    assert finish(service) > 0
    assert tenants.share_slot(0).fences == tenants.share_slot(1).fences == 0


def test_launches_are_counted_where_nothing_holds_them_back(tenants: Tenants) -> None:
    job = tenants.start("work", LONG, rank=Rank.NORMAL)
    tenants.launches(0, 3)
    done = finish(job)
    slot = tenants.share_slot(0)
    assert slot.launches >= done
    assert (slot.fences, slot.busy_ns) == (0, 0)


def test_a_job_is_fenced_only_while_there_is_high_priority_work(tenants: Tenants) -> None:
    job = tenants.start("work", LONG, rank=Rank.LOW)
    service = tenants.start("serve", SHORT, "2000", rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).preemptions > 20, "it never preempts")
    assert tenants.share_slot(0).fences > 0
    assert finish(service) >= 20
    tenants.until(lambda: tenants.page.snapshot().preempt_bits == 0, "it left its bit behind")
    assert tenants.share_slot(0).gate == 0
    before = tenants.share_slot(0).fences
    tenants.launches(0, 20)
    assert tenants.share_slot(0).fences <= before + 1
    assert finish(job) > 0


def test_a_busy_period_of_a_program_that_only_polls_ends_too(tenants: Tenants) -> None:
    job = tenants.start("work", LONG, rank=Rank.LOW)
    tenants.start("poll", SHORT, "2000", rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).preemptions > 10, "its busy period does not end")
    assert finish(job) > 0


def test_a_service_that_waits_for_nothing_lets_go_when_the_gpu_is_done(tenants: Tenants) -> None:
    tenants.start("work", LONG, rank=Rank.LOW)
    tenants.start("stuck", SHORT, rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).preemptions >= 1, "it never launched")
    tenants.until(lambda: tenants.share_slot(0).gate == 0, "it holds the GPU without using it")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_service_that_is_killed_or_stopped_keeps_no_job_out(
    tenants: Tenants, end: signal.Signals
) -> None:
    job = tenants.start("work", LONG, rank=Rank.LOW, minimum=0)
    service = tenants.start("work", "3000000000", rank=Rank.HIGH)
    tenants.until(lambda: stays_closed(tenants, 0), "it never preempts")
    service.send_signal(end)
    # On a busy machine it may have been overruled before too, and have closed the gate again.
    tenants.until(lambda: overruled(tenants.share_slot(0)), "a dead program is not overruled")
    assert finish(job) > 0


def test_a_job_never_starves(tenants: Tenants) -> None:
    job = tenants.start("work", "200000", rank=Rank.LOW, minimum=500)
    tenants.start("work", "3000000", rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(0).starvation_runs >= 5, "the job starves")
    assert finish(job) > 0


def test_a_job_without_a_minimum_waits_as_long_as_it_takes(tenants: Tenants) -> None:
    tenants.start("work", "200000", rank=Rank.LOW, minimum=0)
    tenants.start("work", "3000000", rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).preemptions > 0, "it never preempts")
    tenants.launches(1, 150)
    assert tenants.share_slot(0).starvation_runs == 0


def test_priority_changes_while_programs_run(tenants: Tenants) -> None:
    tenants.start("work", LONG, rank=Rank.LOW)
    tenants.start("serve", SHORT, "1000", rank=Rank.NORMAL)
    tenants.launches(1, 10)
    assert tenants.share_slot(1).preemptions == 0
    tenants.change(1, rank=Rank.HIGH)
    tenants.until(lambda: tenants.share_slot(1).preemptions > 10, "high rank means nothing")
    tenants.change(1, rank=Rank.NORMAL)
    tenants.until(lambda: tenants.share_slot(0).gate == 0, "its bit stays set")


def test_several_services_and_several_jobs(tenants: Tenants) -> None:
    jobs = [tenants.start("work", LONG, rank=Rank.LOW) for _ in range(2)]
    services = [tenants.start("serve", SHORT, "3000", rank=Rank.HIGH) for _ in range(2)]
    tenants.until(
        lambda: min(tenants.share_slot(n).preemptions for n in (2, 3)) > 10, "one never preempts"
    )
    assert min(map(finish, services)) >= 10
    assert min(map(finish, jobs)) > 0
    assert [tenants.share_slot(n).gate for n in (0, 1)] == [0, 0]


def test_a_program_that_resets_its_context_is_gated_by_the_gpu_again(tenants: Tenants) -> None:
    tenants.start("serve", SHORT, "500", rank=Rank.HIGH)
    job = tenants.start("again", LONG, rank=Rank.LOW)
    tenants.until(lambda: tenants.share_slot(1).fences > 30, "no fences any more")
    assert finish(job) > 0
    assert tenants.share_slot(1).waits == 0  # which the host would have to do


def test_high_priority_work_does_not_keep_a_suspension_waiting(tenants: Tenants) -> None:
    tenants.start("keep", LONG, rank=Rank.LOW, minimum=0, movable=True)
    with tenants.gate_closed_without_end(0):
        tenants.until(lambda: tenants.share_slot(0).waiting > 0, "it does not wait for the GPU")
        region = tenants.region(0)
        region.suspend(Bytes(0))
        tenants.until(lambda: region.snapshot().slots[0].phase is Phase.AWAY, "it cannot leave")


def test_no_work_is_lost_or_done_out_of_order(tenants: Tenants) -> None:
    tenants.start("serve", SHORT, "500", rank=Rank.HIGH)
    job = tenants.start("order", "3000", rank=Rank.LOW)
    assert finish(job) == 3000
    assert tenants.share_slot(1).fences > 0
