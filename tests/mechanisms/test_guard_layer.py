# SPDX-License-Identifier: Apache-2.0
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpushare.guard import Flag, GpuPage, Phase, Rank, Region, SharePolicy
from gpushare.hardware.linux.host_memory import LinuxHostMemory
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.mechanisms.guard.gpu_pages import GpuPages
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.guard.swap_pools import SwapPools, SwapSettings
from gpushare.model.edits import Edits
from gpushare.model.errors import GuardMissingError, HardwareError, RegionCorruptError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.scheduling import SchedulingSettings
from gpushare.model.spec import MechanismName, Priority
from gpushare.model.units import GIB, MIB, Bytes
from support.namespaces import contained
from support.regions import LIFE, NAMESPACE, charges, leased, living, put_process, put_slot
from support.shares import GPU, grant, share

BY = (MechanismName.TIMESLICE, MechanismName.GUARD)
ONE = share(by=BY)
SCHEDULING = SchedulingSettings()


def context(gpu: GpuId) -> Bytes:
    return Bytes(500 * MIB)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return made(tmp_path)


def made(folder: Path, scheduling: SchedulingSettings = SCHEDULING) -> Guard:
    return Guard(
        folder / "regions",
        context,
        ProcProcesses(Path("/")),
        gpu_pages=GpuPages(folder / "boards", scheduling),
        pools=SwapPools(LinuxHostMemory(), SwapSettings()),
    )


def region_path(edits: Edits) -> Path:
    return Path(edits.env["GPUSHARE_REGION"])


def test_a_region_is_made_and_removed(guard: Guard, tmp_path: Path) -> None:
    edits = guard.prepare(ONE, [grant(limit=4 * GIB)])
    path = region_path(edits)
    assert path == tmp_path / "regions" / ONE.id
    assert edits.env["GPUSHARE_SHARE"] == ONE.id
    assert [Path(one).name for one in edits.preload] == ["libgpushare.so"]
    (gpu,) = Region(path).snapshot().gpus
    assert (gpu.uuid, gpu.limit, gpu.context, gpu.used) == (GPU, 4 * GIB, 500 * MIB, 0)
    assert path.stat().st_mode & 0o077 == 0, "a share's counters are its user's alone"
    guard.release(ONE)
    guard.release(ONE)
    assert not any((tmp_path / "regions").iterdir())


def test_a_region_cut_short_is_removed(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / "regions").mkdir()
    (tmp_path / "regions" / f"{ONE.id}.new").touch()
    guard.release(ONE)
    assert not any((tmp_path / "regions").iterdir())


def test_preparing_again_keeps_the_counters(guard: Guard) -> None:
    path = region_path(guard.prepare(ONE, [grant(limit=4 * GIB)]))
    before = path.stat().st_ino
    guard.prepare(ONE, [grant(limit=2 * GIB)])
    assert path.stat().st_ino == before
    assert Region(path).snapshot().gpus[0].limit == 2 * GIB


def test_a_limit_changes_while_the_share_lives(guard: Guard) -> None:
    path = region_path(guard.prepare(ONE, [grant("GPU-a", GIB), grant("GPU-b", GIB)]))
    guard.adjust(ONE, [grant("GPU-b", 3 * GIB)])
    seen = Region(path).snapshot()
    assert [gpu.limit for gpu in seen.gpus] == [GIB, 3 * GIB]


def test_a_share_that_did_nothing_is_observed(guard: Guard) -> None:
    guard.prepare(ONE, [grant()])
    seen = guard.observe(ONE)
    assert (seen.used, seen.peak) == ({GPU: 0}, {GPU: 0})
    assert (seen.pids, seen.denied, seen.fault) == ((), 0, "")


def test_a_region_that_is_gone_is_a_fault(guard: Guard) -> None:
    region_path(guard.prepare(ONE, [grant()])).unlink()
    assert "cannot be read" in guard.observe(ONE).fault


def test_an_overwritten_region_is_a_fault_and_can_be_released(guard: Guard) -> None:
    region_path(guard.prepare(ONE, [grant()])).write_bytes(b"x" * 100)
    assert "is no region" in guard.observe(ONE).fault
    with pytest.raises(RegionCorruptError):
        guard.prepare(ONE, [grant()])
    guard.release(ONE)
    assert guard.prepare(ONE, [grant()]).preload


def test_a_folder_that_cannot_be_made_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "regions").write_text("a file")
    with pytest.raises(HardwareError) as caught:
        made(tmp_path).prepare(ONE, [grant()])
    assert "exists" in caught.value.because


def test_a_missing_library_is_reported_before_anything_is_made(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUSHARE_NATIVE", str(tmp_path))
    with pytest.raises(GuardMissingError):
        guard.prepare(ONE, [grant()])
    assert not (tmp_path / "regions").exists()
    guard.release(ONE)


def test_the_region_belongs_to_the_user_of_the_share(guard: Guard) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    import msgspec  # noqa: PLC0415

    theirs = msgspec.structs.replace(ONE, uid=65534, gid=65534)
    path = region_path(guard.prepare(theirs, [grant()]))
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def gpu_page(folder: Path) -> GpuPage:
    return GpuPage(folder / "boards" / GPU)


def test_a_share_has_a_share_slot_on_the_page_of_its_gpu(guard: Guard, tmp_path: Path) -> None:
    edits = guard.prepare(ONE, [grant(compute=25)])
    (slot,) = gpu_page(tmp_path).snapshot().share_slots
    assert edits.env["GPUSHARE_BOARDS"] == str(tmp_path / "boards")
    assert Region(region_path(edits)).snapshot().gpus[0].share_slot == slot.number
    assert slot.policy.share == ONE.id
    assert (slot.policy.rank, slot.policy.limit, slot.policy.request) == (Rank.NORMAL, 2500, 2500)
    guard.release(ONE)
    assert not (tmp_path / "boards").exists(), "a GPU page without share slots goes too"


def test_rank_and_gate_are_what_was_asked_and_set(tmp_path: Path) -> None:
    guard = made(
        tmp_path, SchedulingSettings(gate_quantum=99, best_effort_minimum=7, gate_grace=120)
    )
    for number, priority in enumerate(Priority):
        guard.prepare(share(by=BY, id=f"{number:012x}", priority=priority), [grant()])
    said = [slot.policy for slot in gpu_page(tmp_path).snapshot().share_slots]
    assert [policy.rank for policy in said] == [Rank.LOW, Rank.NORMAL, Rank.HIGH]
    assert {(p.quantum_us, p.minimum, p.grace_us) for p in said} == {(99, 700, 120)}


def test_every_share_has_its_own_share_slot_and_keeps_it(guard: Guard, tmp_path: Path) -> None:
    first, second = share(by=BY, id="a" * 12), share(by=BY, id="b" * 12)
    guard.prepare(first, [grant()])
    guard.prepare(second, [grant()])
    guard.release(first)
    guard.prepare(second, [grant(compute=50)])
    (slot,) = gpu_page(tmp_path).snapshot().share_slots
    assert (slot.number, slot.policy.share, slot.policy.limit) == (1, second.id, 5000)


def test_a_share_slot_survives_a_prepare_that_was_cut_short(guard: Guard, tmp_path: Path) -> None:
    region_path(guard.prepare(ONE, [grant()])).unlink()
    guard.prepare(ONE, [grant()])
    assert len(gpu_page(tmp_path).snapshot().share_slots) == 1


def test_compute_and_priority_change_while_the_share_lives(guard: Guard, tmp_path: Path) -> None:
    guard.prepare(ONE, [grant(compute=25)])
    high = replace(ONE, spec=replace(ONE.spec, priority=Priority.HIGH))
    guard.adjust(high, [grant(compute=75)])
    (slot,) = gpu_page(tmp_path).snapshot().share_slots
    assert (slot.policy.rank, slot.policy.limit) == (Rank.HIGH, 7500)


def test_a_full_gpu_page_is_an_error_with_a_reason(guard: Guard) -> None:
    for number in range(64):
        guard.prepare(share(by=BY, id=f"{number:012x}"), [grant()])
    with pytest.raises(HardwareError, match="no share slot") as caught:
        guard.prepare(ONE, [grant()])
    assert "64" in caught.value.because


def test_a_broken_gpu_page_is_made_again(guard: Guard, tmp_path: Path) -> None:
    guard.prepare(ONE, [grant()])
    gpu_page(tmp_path).path.write_bytes(b"x" * 10)
    assert guard.observe(ONE).share_slots == {}
    guard.prepare(ONE, [grant()])
    assert [slot.policy.share for slot in gpu_page(tmp_path).snapshot().share_slots] == [ONE.id]


def test_memory_is_made_to_move(guard: Guard) -> None:
    region = Region(region_path(guard.prepare(ONE, [grant()])))
    assert region.snapshot().flags == Flag.MOVABLE
    assert guard.observe(ONE).moves.movable
    guard.suspend(ONE, Bytes(0))
    assert guard.observe(ONE).moves.halt % 2 == 1
    guard.resume(ONE)
    assert guard.observe(ONE).moves.halt % 2 == 0


def test_how_programs_move_is_observed(guard: Guard) -> None:
    region = Region(region_path(guard.prepare(ONE, [grant()])))
    me = ProcProcesses().find(os.getpid())
    guard.suspend(ONE, Bytes(0))
    cached = charges(5 * MIB)
    put_slot(region, pid=me.pid, start=me.started, phase=Phase.LEAVES, unmovable=1, cached=cached)
    seen = guard.observe(ONE)
    assert (seen.cached, seen.moves.away, seen.moves.back) == (5 * MIB, False, False)
    assert seen.moves.unmovable == ("it uses managed memory",)
    put_slot(region, pid=me.pid, start=me.started, phase=Phase.AWAY, suspend_seen=1)
    assert guard.observe(ONE).moves.away


def test_a_process_counts_as_long_as_its_lock_is_held(guard: Guard) -> None:
    """Whatever its pid means here: that of a container's first process, or of a program of ours."""
    region = Region(region_path(guard.prepare(ONE, [grant()])))
    me = ProcProcesses().find(os.getpid())
    put_slot(region, 0, pid=1, pid_namespace=NAMESPACE + 1, life=LIFE, charged=charges(3 * MIB))
    put_slot(region, 1, pid=me.pid, start=me.started, life=LIFE + 1, charged=charges(5 * MIB))
    assert (guard.observe(ONE).used[GPU], guard.observe(ONE).pids) == (0, ())
    with living(region.path, LIFE):
        assert (guard.observe(ONE).used[GPU], guard.observe(ONE).pids) == (3 * MIB, ())
    with living(region.path, LIFE + 1):
        assert (guard.observe(ONE).used[GPU], guard.observe(ONE).pids) == (5 * MIB, (me.pid,))
    put_slot(region, 2, pid=1, pid_namespace=NAMESPACE + 1, life=7, charged=charges(3 * MIB))
    assert guard.observe(ONE).used[GPU] == 0, "no guard takes such a number"


def test_a_process_of_another_pid_namespace_has_the_pid_that_it_has_here(guard: Guard) -> None:
    region = Region(region_path(guard.prepare(ONE, [grant()])))
    with contained() as (here, namespace), living(region.path):
        put_slot(region, pid=1, start=here.started, pid_namespace=namespace, life=LIFE)
        seen = guard.observe(ONE)
        assert (seen.pids, [slot.pid for slot in seen.moves.slots]) == ((here.pid,), [here.pid])
        put_slot(region, 1, pid=2, start=here.started, pid_namespace=namespace, life=LIFE + 1)
        with living(region.path, LIFE + 1):
            assert guard.observe(ONE).pids == (here.pid,), "there is no process 2 in there"
    assert guard.observe(ONE).pids == ()


def test_without_a_lock_processes_of_another_pid_namespace_are_counted(guard: Guard) -> None:
    """A container's process number 1 is not this machine's."""
    region = Region(region_path(guard.prepare(ONE, [grant()])))
    put_slot(region, pid=1, start=7, pid_namespace=NAMESPACE + 1, charged=charges(3 * MIB))
    seen = guard.observe(ONE)
    assert (seen.used[GPU], seen.pids) == (3 * MIB, ())
    put_slot(region, pid=1, start=7, charged=charges(3 * MIB))
    assert guard.observe(ONE).used[GPU] == 0


def test_no_act_waits_for_a_lease_on_the_region(guard: Guard) -> None:
    """open() would wait 45 s, until the kernel takes the lease away."""
    path = region_path(guard.prepare(ONE, [grant(limit=4 * GIB)]))
    acts = (
        lambda: guard.prepare(ONE, [grant(limit=4 * GIB)]),
        lambda: guard.adjust(ONE, [grant(limit=2 * GIB)]),
        lambda: guard.suspend(ONE, Bytes(0)),
        lambda: guard.resume(ONE),
        lambda: Region(path).set_flags(Flag.MOVABLE),
    )
    with leased(path):
        for act in acts:
            with pytest.raises(BlockingIOError, match="a process has a lease on it"):
                act()
        assert "a process has a lease on it" in guard.observe(ONE).fault
        guard.mend()
    assert not guard.observe(ONE).fault
    assert Region(path).snapshot().gpus[0].limit == 4 * GIB


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_replaces_the_region_is_a_fault(guard: Guard, make: Callable[[Path], None]) -> None:
    path = region_path(guard.prepare(ONE, [grant()]))
    path.unlink()
    make(path)
    assert "cannot be read" in guard.observe(ONE).fault
    with pytest.raises((OSError, RegionCorruptError)):
        guard.suspend(ONE, Bytes(0))


def test_slots_of_unknown_shares_are_freed_where_no_process_lives(
    guard: Guard, tmp_path: Path
) -> None:
    """After older books are restored: the 65th share of a GPU must find a slot."""
    known, gone, runs = ONE, share(by=BY, id="aaaaaaaaaaaa"), share(by=BY, id="bbbbbbbbbbbb")
    for one in (known, gone, runs):
        guard.prepare(one, [grant()])
    (tmp_path / "regions" / gone.id).unlink()
    region = Region(tmp_path / "regions" / runs.id)
    page = GpuPage(tmp_path / "boards" / GPU)
    page.set_share(9, SharePolicy(share=ShareId("../../etc/passw")))
    put_slot(region, pid=1, pid_namespace=NAMESPACE + 1, life=LIFE)
    assert guard.shares() == {known.id, gone.id, runs.id, "../../etc/passw"}
    with living(region.path):
        unknown = guard.shares() - {known.id}
        assert guard.forget(unknown) == {gone.id, "../../etc/passw"}
        assert guard.shares() == {known.id, runs.id}
    assert guard.forget({runs.id}) == {runs.id}
    assert guard.forget({known.id}) == {known.id}
    assert not page.path.exists()


def test_a_slot_on_which_a_process_lives_is_kept(guard: Guard, tmp_path: Path) -> None:
    """Its share may have lost the region, too."""
    guard.prepare(ONE, [grant()])
    (tmp_path / "regions" / ONE.id).unlink()
    page = GpuPage(tmp_path / "boards" / GPU)
    put_process(page, pid=1, life=LIFE, share_slot=0, busy=1)
    with living(page.path):
        assert guard.forget({ONE.id}) == set()
        (slot,) = page.snapshot().share_slots
        assert (slot.processes, slot.waiting) == (1, 1)
    (slot,) = page.snapshot().share_slots
    assert (slot.processes, slot.waiting) == (0, 0), "the dead neither live nor wait"
    assert guard.forget({ONE.id}) == {ONE.id}


def test_a_page_that_is_damaged_during_a_grant_is_made_again(
    guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user of the GPU writes to it between the look at the page and the write."""
    set_share, damages = GpuPage.set_share, iter(range(3))

    def damaged(page: GpuPage, number: int, policy: SharePolicy | None) -> None:
        if next(damages, None) is not None:
            page.path.write_bytes(b"x" * page.path.stat().st_size)
        set_share(page, number, policy)

    monkeypatch.setattr(GpuPage, "set_share", damaged)
    guard.prepare(ONE, [grant()])
    assert guard.shares() == {ONE.id}


def test_a_proof_finds_a_region_that_is_gone_or_says_other_limits(
    guard: Guard, tmp_path: Path
) -> None:
    mine = grant(limit=2 * GIB)

    def found() -> dict[str, bool | None]:
        return {check.name: check.ok for check in guard.prove(ONE, [mine])}

    guard.prepare(ONE, [mine])
    assert found() == {"region": True, "limits": True}
    region = Region(tmp_path / "regions" / ONE.id)
    region.set_limit(GPU, Bytes(80 * GIB))
    assert found() == {"region": True, "limits": False}
    assert "80 GiB" in next(check.evidence for check in guard.prove(ONE, [mine]) if not check.ok)
    guard.adjust(ONE, [mine])
    assert found() == {"region": True, "limits": True}
    region.close()
    assert found() == {"region": False}


def test_a_rival_is_gone_when_its_time_is_over(guard: Guard, tmp_path: Path) -> None:
    mine = grant(limit=2 * GIB, compute=40)
    one = replace(ONE, decision=replace(ONE.decision, grants=(mine,)))
    guard.prepare(one, [mine])
    page = GpuPage(tmp_path / "boards" / GPU)

    def policies() -> list[tuple[int, int]]:
        return [(slot.policy.limit, slot.policy.request) for slot in page.snapshot().share_slots]

    with guard.rival(one) as rival:
        assert rival is not None
        assert rival.given(GPU) is None, "nothing ran yet"
        assert Path(rival.edits.env["GPUSHARE_REGION"]).is_file()
        assert policies() == [(4000, 4000), (10_000, 6000)], "what the share is not guaranteed"
    assert policies() == [(4000, 4000)]
    assert [path.name for path in (tmp_path / "regions").iterdir()] == [one.id]
