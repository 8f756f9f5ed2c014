# SPDX-License-Identifier: Apache-2.0
"""The story of test_crash with tenants: guarantees, limits, priorities, and room that is reclaimed.

The seed is part of a test's name. The long tier takes GPUSHARE_TEST_SEED for other stories.
"""

import contextlib
import os
import random
from pathlib import Path

import pytest

from gpushare.model.audit import AuditQuery
from gpushare.model.errors import GpushareError
from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount, Policy, TenantSpec
from gpushare.model.spec import Priority
from gpushare.model.units import GIB, Bytes, Seconds
from gpushare.store.audit import (
    STARTED,
    Files,
    file_lines,
    public_key,
    remembered,
    search,
    verify,
)
from support.world.audited_daemon import AuditedDaemon
from support.world.session import DaemonSession
from support.world.world import World

from .test_crash import Story, play

RESEARCH, BATCH, GUEST = Tenant("research"), Tenant("batch"), Tenant("guest")
POLICY = Policy(
    tenants={
        RESEARCH: TenantSpec(guaranteed=Amount(memory=Bytes(100 * GIB))),
        BATCH: TenantSpec(weight=3),
        GUEST: TenantSpec(limit=Amount(memory=Bytes(30 * GIB)), shares=3),
    },
    min_runtime=Seconds(2),
)
EVERYTHING = AuditQuery(last=10_000)
SEED = int(os.environ.get("GPUSHARE_TEST_SEED", "1000"))


class TenantStory(Story):
    """Next to the tenants there are programs that are in no share."""

    reclaimed = 0

    def __init__(self, world: World, dice: random.Random) -> None:
        super().__init__(world, dice)
        self.audited: AuditedDaemon | None = None
        self.outside = [world.spawn() for _ in range(3)]

    async def happen(self, daemon: DaemonSession) -> None:
        self.record(daemon)
        if daemon.store.policy.current() != POLICY:
            daemon.store.policy.put(POLICY, "root", self.world.clock.now())
        if self.dice.random() < 0.4:
            await self.demand(daemon)
        await super().happen(daemon)
        self.check_tenants(daemon)

    def record(self, daemon: DaemonSession) -> None:
        """Each daemon keeps the audit log, and none that dies ends it."""
        if self.audited is None or self.audited.here is not daemon:
            if self.audited is not None:
                self.audited.log.close()  # only the lock and the file: no last record
            self.audited = AuditedDaemon(daemon, daemon.folder / "audit.jsonl")
            self.audited.writer.start(self.audited.settings)

    async def demand(self, daemon: DaemonSession) -> None:
        """A tenant runs a program; what research is guaranteed, others may have to give back."""
        tenant = self.dice.choice([RESEARCH, RESEARCH, BATCH, BATCH, GUEST])
        process = self.world.spawn()
        self.holders.append(process)
        with contextlib.suppress(GpushareError):
            gib, priority = self.dice.choice([20, 40, 70]), self.dice.choice(list(Priority))
            share = await daemon.create(gib, holder=process, tenant=tenant, priority=priority)
            if share.state == "granted":
                await self._enter(daemon, share.id, process)
            await daemon.tick(5)

    def check_tenants(self, daemon: DaemonSession) -> None:
        events = [event.type for event in daemon.store.events.since(0)]
        type(self).reclaimed += events.count("share.reclaimed.suspend")
        living = daemon.store.shares.living()
        guests = [share for share in living if share.tenant == GUEST]
        assert len(guests) <= 3
        held = [s for s in guests if s.state.holds and not s.aside]
        assert sum(g.limit for s in held for g in s.decision.grants) <= 30 * GIB
        signalled = {pid for pid, _ in self.world.signals}
        assert signalled.isdisjoint(process.pid for process in self.outside)
        assert {process.pid for process in self.outside} <= self.world.living()


def check_audit(state: Path) -> None:
    """The chain of all lives is whole, up to the end that the state remembers."""
    path = state / "audit.jsonl"
    lines, end = file_lines(Files(path).all()), remembered(state, path)
    report = verify(lines, keys=[public_key(state)], end=end)
    assert report.ok, report
    assert sum(record.action == STARTED for record in search(Files(path), EVERYTHING)) > 1


@pytest.mark.parametrize("seed", [1, 2])
def test_crashes_leave_nothing_behind_where_tenants_reclaim_room(tmp_path, seed):
    TenantStory.reclaimed = 0
    assert play(tmp_path, seed, 60, TenantStory, with_cgroups=seed % 2 == 0) > 0
    check_audit(tmp_path / "state")
    assert TenantStory.reclaimed > 0, "no room was reclaimed in this story"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(SEED, SEED + 20))
def test_many_crashes_leave_nothing_behind_where_tenants_reclaim_room(tmp_path, seed):
    """Twenty stories of 200 steps each."""
    assert play(tmp_path, seed, 200, TenantStory, with_cgroups=seed % 2 == 0) > 0
    check_audit(tmp_path / "state")
