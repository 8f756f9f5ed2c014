# SPDX-License-Identifier: Apache-2.0
"""The layer's order of acts; the driver's own limits are tried in tests/contract."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.ports import MemoryLimit
from gpushare.mechanisms.driver_limit import DriverLimit
from gpushare.mechanisms.stack import Mechanisms
from gpushare.mechanisms.timeslice import Timeslice
from gpushare.model.errors import GpuLostError, UnsupportedError
from gpushare.model.ids import GpuId
from gpushare.model.spec import MechanismName
from gpushare.model.units import GIB, Bytes
from support.shares import GPU, grant, share

BY = (MechanismName.TIMESLICE, MechanismName.DRIVER_LIMIT)
ONE = share(by=BY)


class Limits:
    """A driver's limits in memory, with what it does not forgive: a group gone with a soft one."""

    def __init__(self, reason: str = "") -> None:
        self.reason, self.lost = reason, False
        self.set: dict[tuple[GpuId, str], MemoryLimit] = {}

    def limits_reason(self) -> str:
        return self.reason

    def memory_limit(self, gpu: GpuId, cgroup: str) -> MemoryLimit:
        return replace(self.set.get((gpu, cgroup), MemoryLimit()), used=Bytes(GIB))

    def set_memory_limit(self, gpu: GpuId, cgroup: str, limit: MemoryLimit) -> None:
        if self.lost:
            raise GpuLostError("gone")
        assert Path(cgroup).is_dir(), "the group is there whenever its limit changes"
        self.set[gpu, cgroup] = limit


def test_the_request_is_guaranteed_and_the_limit_is_hard(cgroups: FsCgroups) -> None:
    limits = Limits()
    edits = DriverLimit(limits, cgroups).prepare(ONE, [grant(limit=4 * GIB)])
    assert edits.cgroup is not None
    assert edits.cgroup.endswith(f"/gpushare/{ONE.id}")
    expected = MemoryLimit(soft=Bytes(4 * GIB), hard=Bytes(4 * GIB))
    assert limits.set == {(GPU, edits.cgroup): expected}


def test_the_soft_limit_goes_before_the_group(cgroups: FsCgroups) -> None:
    limits = Limits()
    mechanisms = Mechanisms((Timeslice(), DriverLimit(limits, cgroups)), cgroups)
    edits = mechanisms.prepare(ONE)
    mechanisms.release(ONE)
    assert edits.cgroup is not None
    assert limits.set == {(GPU, edits.cgroup): MemoryLimit()}
    assert not Path(edits.cgroup).exists()
    mechanisms.release(ONE)
    assert not Path(edits.cgroup).exists(), "releasing again leaves nothing behind"


def test_a_new_limit_is_applied(cgroups: FsCgroups) -> None:
    limits = Limits()
    layer = DriverLimit(limits, cgroups)
    layer.prepare(ONE, [grant(limit=4 * GIB)])
    layer.adjust(ONE, [grant(limit=2 * GIB)])
    assert [limit.hard for limit in limits.set.values()] == [2 * GIB]


def test_where_the_driver_cannot_it_says_why(cgroups: FsCgroups) -> None:
    layer = DriverLimit(Limits("driver 580 has none"), cgroups)
    with pytest.raises(UnsupportedError) as caught:
        layer.prepare(ONE, [grant()])
    assert caught.value.because == "driver 580 has none"
    layer.release(ONE)


def test_a_lost_gpu_does_not_keep_its_share(cgroups: FsCgroups) -> None:
    limits = Limits()
    layer = DriverLimit(limits, cgroups)
    layer.prepare(ONE, [grant()])
    limits.lost = True
    layer.release(ONE)


def test_a_group_without_processes_uses_nothing(cgroups: FsCgroups) -> None:
    layer = DriverLimit(Limits(), cgroups)
    edits = layer.prepare(ONE, [grant()])
    assert layer.observe(ONE).used == {}
    assert edits.cgroup is not None
    (Path(edits.cgroup) / "cgroup.procs").write_text("1\n")
    assert layer.observe(ONE).used == {GPU: GIB}


def test_a_share_that_is_away_is_guaranteed_nothing(cgroups: FsCgroups) -> None:
    limits = Limits()
    layer = DriverLimit(limits, cgroups)
    layer.prepare(ONE, [grant(limit=4 * GIB)])
    layer.suspend(ONE, Bytes(0))
    assert list(limits.set.values()) == [MemoryLimit(hard=Bytes(4 * GIB))]
    layer.resume(ONE)
    assert list(limits.set.values()) == [MemoryLimit(soft=Bytes(4 * GIB), hard=Bytes(4 * GIB))]


def test_shares_that_take_turns_are_guaranteed_nothing(cgroups: FsCgroups) -> None:
    limits = Limits()
    turns = replace(ONE, spec=replace(ONE.spec, turns=True))
    DriverLimit(limits, cgroups).prepare(turns, [grant(limit=4 * GIB)])
    assert list(limits.set.values()) == [MemoryLimit(hard=Bytes(4 * GIB))]


def test_a_proof_finds_a_limit_that_the_driver_no_longer_has(cgroups: FsCgroups) -> None:
    limits, mine = Limits(), grant(limit=4 * GIB)
    layer = DriverLimit(limits, cgroups)
    cgroup = layer.prepare(ONE, [mine]).cgroup
    assert layer.prove(ONE, [mine]) == (), "a group without processes is not asked about"
    assert cgroups.add(ONE.id, os.getpid())
    assert [check.ok for check in layer.prove(ONE, [mine])] == [True]
    limits.set_memory_limit(GPU, str(cgroup), MemoryLimit())
    (check,) = layer.prove(ONE, [mine])
    assert not check.ok
    assert "no limit" in check.evidence
