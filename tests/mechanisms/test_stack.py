# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from gpushare.hardware.host import Host
from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.mechanisms import Mechanisms, load
from gpushare.mechanisms.guard.guard import Guard
from gpushare.mechanisms.mechanism import PassiveMechanism
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.edits import Edits
from gpushare.model.errors import (
    CgroupError,
    GuardMissingError,
    HardwareError,
    NoDriverError,
    UnsupportedError,
)
from gpushare.model.gpu import Gpu, GpuHealth
from gpushare.model.ids import GpuId
from gpushare.model.share import Level, Share
from gpushare.model.spec import GpuGrant, MechanismName
from gpushare.model.units import GIB, Bytes
from support.shares import GPU, grant, share

TIMESLICE, GUARD, EXCLUSIVE = (
    MechanismName.TIMESLICE,
    MechanismName.GUARD,
    MechanismName.EXCLUSIVE,
)


@pytest.fixture
def mechanisms(tmp_path: Path) -> Mechanisms:
    return load(Host.open(tmp_path), tmp_path, context=lambda _: Bytes(0))


def test_every_promise_is_in_the_table(mechanisms: Mechanisms) -> None:
    table = {promise.mechanism: promise for promise in mechanisms.promises()}
    assert {one for one in table if table[one].layer} == {GUARD, MechanismName.DRIVER_LIMIT}
    assert {one for one in table if table[one].alone} == {EXCLUSIVE}
    assert table[MechanismName.MPS].one_user
    assert table[MechanismName.MPS].memory.level is Level.NONE, "it can be escaped"


def test_every_weak_claim_says_what_it_leaves_open(mechanisms: Mechanisms) -> None:
    for promise in mechanisms.promises():
        if not promise.layer:
            for claim in (promise.memory, promise.compute, promise.fault, promise.devices):
                assert claim.level is Level.ENFORCED or claim.but


def test_base_and_layer_make_one_edit(mechanisms: Mechanisms, tmp_path: Path) -> None:
    one = share(by=(TIMESLICE, GUARD), id=os.urandom(6).hex())
    try:
        edits = mechanisms.prepare(one)
        assert edits == mechanisms.prepare(one), "preparing again changes nothing"
        assert edits.env["CUDA_VISIBLE_DEVICES"] == "0"
        assert edits.env["GPUSHARE_REGION"] == str(tmp_path / "regions" / one.id)
        if edits.cgroup:
            assert Path(edits.cgroup).is_dir()
        mechanisms.adjust(one)
        assert mechanisms.observe(one).used == {GPU: 0}
    finally:
        mechanisms.release(one)
    mechanisms.release(one)
    assert not (tmp_path / "regions" / one.id).exists()
    assert edits.cgroup is None or not Path(edits.cgroup).exists()


def test_a_prepare_cut_short_is_undone(
    mechanisms: Mechanisms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = share(by=(TIMESLICE, GUARD), id=os.urandom(6).hex())
    monkeypatch.setenv("GPUSHARE_NATIVE", str(tmp_path))
    with pytest.raises(GuardMissingError):
        mechanisms.prepare(one)
    mechanisms.release(one)
    assert [path for path in tmp_path.rglob("*") if one.id in path.name] == []


def test_files_that_cannot_be_changed_are_the_shares_own_trouble(
    mechanisms: Mechanisms, tmp_path: Path
) -> None:
    one = share(by=(TIMESLICE, GUARD), id=os.urandom(6).hex())
    mechanisms.prepare(one)
    region = tmp_path / "regions" / one.id
    region.unlink()
    region.mkdir()
    for act in (mechanisms.adjust, mechanisms.release):
        with pytest.raises(HardwareError, match=f"the files of share {one.id}"):
            act(one)
    region.rmdir()
    mechanisms.release(one)


def test_a_share_without_a_decision_has_nothing(mechanisms: Mechanisms) -> None:
    import msgspec  # noqa: PLC0415

    waiting = msgspec.structs.replace(share(id=os.urandom(6).hex()), decision=None)
    edits = mechanisms.prepare(waiting)
    assert edits == Edits(cgroup=edits.cgroup)
    assert mechanisms.observe(waiting).used == {}
    mechanisms.drain(waiting, [])
    mechanisms.release(waiting)


def test_a_mechanism_that_is_not_here(mechanisms: Mechanisms) -> None:
    one = share(grant(), by=(MechanismName.VGPU,), id=os.urandom(6).hex())
    with pytest.raises(UnsupportedError):
        mechanisms.prepare(one)
    mechanisms.release(one)


def test_a_group_that_the_kernel_keeps_after_its_last_process_names_none(
    mechanisms: Mechanisms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FsCgroups, "reason", lambda _: "")
    monkeypatch.setattr(FsCgroups, "remove", lambda *_: False)
    with pytest.raises(CgroupError) as caught:
        mechanisms.release(share(by=(TIMESLICE,), id=os.urandom(6).hex()))
    assert caught.value.because == "a process in it has not ended completely"


def test_a_share_with_a_living_process_is_not_released(mechanisms: Mechanisms) -> None:
    cgroups = FsCgroups()
    if reason := cgroups.reason():
        pytest.skip(f"no control groups for us here: {reason}")
    one = share(by=(TIMESLICE,), id=os.urandom(6).hex())
    mechanisms.prepare(one)
    with subprocess.Popen(["sleep", "60"]) as process:
        assert cgroups.add(one.id, process.pid)
        assert mechanisms.observe(one).pids == (process.pid,)
        with pytest.raises(CgroupError) as caught:
            mechanisms.release(one)
        assert str(process.pid) in caught.value.because
        process.kill()
    mechanisms.release(one)
    assert cgroups.pids(one.id) == ()


class NoCgroups(FsCgroups):
    def reason(self) -> str:
        return "no control groups here"


class Preloaded(PassiveMechanism):
    """A layer inside the program, as the guard is."""

    promise = Guard.promise

    def prepare(self, share: Share, grants: Sequence[GpuGrant]) -> Edits:
        return Edits()


class Filter:
    """Control groups that can, or cannot, keep devices shut."""

    def __init__(self, because: str = "") -> None:
        self.because = because
        self.confined: dict[str, set[str]] = {}

    def reason(self) -> str:
        return self.because

    def confine(self, name, gpus) -> None:
        self.confined[name] = set(gpus)

    def in_force(self, name) -> bool:
        return name in self.confined


@pytest.mark.skipif(bool(FsCgroups().reason()), reason="no control groups here")
def test_a_share_is_kept_from_the_gpus_of_others() -> None:
    devices = Filter()
    stack = Mechanisms([Timeslice()], FsCgroups(), devices)
    one = share(by=(TIMESLICE,), id=os.urandom(6).hex())
    try:
        edits = stack.prepare(one)
        assert devices.confined == {one.id: {GPU}}
        assert [(check.name, check.ok) for check in stack.prove(one)] == [("devices", True)]
        devices.confined.clear()
        assert [check.ok for check in stack.prove(one)] == [False]
        assert edits.env["CUDA_VISIBLE_DEVICES"] == "0", "the only GPU that the driver can open"
    finally:
        stack.release(one)
    assert stack.promises()[0].devices.level is Level.ENFORCED


class Groups(NoCgroups):
    def reason(self) -> str:
        return ""


@pytest.mark.parametrize("guarded", [True, False])
def test_only_under_the_guard_are_gpus_of_other_shares_opened(guarded) -> None:
    """Without it a number in CUDA_VISIBLE_DEVICES counts the GPUs that can be opened."""
    devices, peer_gpus = Filter(), frozenset({SECOND})
    stack = Mechanisms([Timeslice(), Preloaded()], Groups(), devices)
    one = share(by=(TIMESLICE, *([MechanismName.GUARD] if guarded else [])))
    stack.admit(one, peer_gpus)
    stack.admit(one, peer_gpus)
    assert devices.confined == ({one.id: {GPU, SECOND}} if guarded else {})
    assert stack.peer_gpus(one) == (peer_gpus if guarded else frozenset())


@pytest.mark.parametrize("because", ["", "the Linux kernel refuses the filter"])
def test_nothing_is_left_to_admit_once_it_is_written_or_where_no_filter_is(because) -> None:
    """Each pass asks for every share, and what is left is written in a thread of its own."""
    devices, peer_gpus = Filter(because), frozenset({SECOND})
    stack = Mechanisms([Timeslice(), Preloaded()], Groups(), devices)
    one = share(by=(TIMESLICE, MechanismName.GUARD))
    assert stack.admits(one, peer_gpus) is bool(because)
    stack.admit(one, peer_gpus)
    assert stack.admits(one, peer_gpus)
    assert not devices.confined if because else devices.confined == {one.id: {GPU, SECOND}}


SECOND = GpuId("GPU-51600000-0000-4000-8000-000000000002")


def _card(uuid: str, index: int, *, lost: bool = False, mig: bool = False) -> Gpu:
    health = GpuHealth(lost=lost)
    return Gpu(
        uuid=GpuId(uuid),
        index=index,
        name="H200",
        memory_total=Bytes(GIB),
        health=health,
        mig_enabled=mig,
    )


def _shown(by: tuple[MechanismName, ...], gpus: list[Gpu], *, uuids: bool = False) -> str:
    """CUDA_VISIBLE_DEVICES of a share on the second and the first GPU, without confinement."""
    mechanisms = [Timeslice(), Preloaded()]
    stack = Mechanisms(mechanisms, NoCgroups(), gpus=lambda: gpus, uuids=uuids)
    return stack.prepare(share(grant(SECOND), grant(GPU), by=by)).env["CUDA_VISIBLE_DEVICES"]


BOTH = [_card(GPU, 0), _card(SECOND, 1)]


def test_without_the_guard_a_number_is_a_place_in_the_machine() -> None:
    assert _shown((TIMESLICE,), BOTH) == "1,0"


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [(0, 1, "0,1"), (1, 0, "0,1"), (1, 2, "0,1"), (0, 2, "0,2"), (4, 7, "4,7"), (7, 4, "7,4")],
)
def test_under_the_guard_numbers_of_the_machine_are_set_where_they_mean_the_same(
    first: int, second: int, shown: str
) -> None:
    gpus = [_card(SECOND, first), _card(GPU, second)]
    assert _shown((TIMESLICE, GUARD), gpus) == shown


def test_the_guard_reads_numbers_where_they_are_not_known() -> None:
    assert _shown((TIMESLICE, GUARD), []) == "0,1"


@pytest.mark.parametrize(
    "gpus",
    [
        [],
        [_card(GPU, 0)],
        [*BOTH, _card("GPU-lost", 2, lost=True)],
        [*BOTH, _card("GPU-mig", 2, mig=True)],
    ],
    ids=["unknown", "one unknown", "lost", "MIG"],
)
def test_where_a_number_is_not_exact_gpus_are_named_by_uuid(gpus: list[Gpu]) -> None:
    assert _shown((TIMESLICE,), gpus) == f"{SECOND},{GPU}"


def test_a_driver_that_does_not_answer_keeps_no_share_from_its_gpus() -> None:
    def fail() -> list[Gpu]:
        raise NoDriverError("no driver")

    stack = Mechanisms([Timeslice()], NoCgroups(), gpus=fail)
    assert stack.prepare(share()).env["CUDA_VISIBLE_DEVICES"] == GPU


@pytest.mark.parametrize("by", [(TIMESLICE,), (TIMESLICE, GUARD)])
def test_the_setting_names_gpus_by_uuid_always(by: tuple[MechanismName, ...]) -> None:
    assert _shown(by, BOTH, uuids=True) == f"{SECOND},{GPU}"


def test_why_it_can_only_be_hidden_from_them_is_stated() -> None:
    stack = Mechanisms([Timeslice()], FsCgroups(), Filter("there is no cgroup v2"))
    claim = stack.promises()[0].devices
    assert claim.level is Level.COOPERATIVE
    assert "there is no cgroup v2" in claim.but
