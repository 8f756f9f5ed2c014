# SPDX-License-Identifier: Apache-2.0
"""Who may say how a program ended, and who sees what it printed."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from gpushare.model.access.role import Role
from gpushare.model.errors import ConflictError, DeniedError, NoSuchShareError
from gpushare.model.share import State
from gpushare.model.state.program_end import ProgramEndReport
from support.world.session import ME, STRANGER, live

OPERATOR = replace(STRANGER, role=Role.OPERATOR)


async def detached(daemon):
    """A share whose program has ended, and whose supervisor has not reported yet."""
    share, process = await daemon.run(8, name="job")
    daemon.store.shares.update(share.id, supervised=True)
    daemon.world.end(process)
    await daemon.tick()
    return await daemon.service.show(share.id, ME)


def report(daemon, status: int = 3 << 8, output: str = "last\n", later: float = 0):
    at = daemon.world.clock.now() + timedelta(seconds=later)
    return ProgramEndReport(status=status, at=at, output=output)


def test_a_report_completes_what_the_kernel_did_not_say(world, state):
    async def story(daemon):
        share = await detached(daemon)
        assert (share.state, share.end.code) == (State.RELEASED, None)
        seen = await daemon.service.program_ended(share.id, report(daemon), ME)
        assert (seen.end.code, seen.output) == (3, "last\n")

    live(world, state, story)


def test_only_the_first_report_counts(world, state):
    async def story(daemon):
        share = await detached(daemon)
        await daemon.service.program_ended(share.id, report(daemon), ME)
        seen = await daemon.service.program_ended(share.id, report(daemon, 0, "other"), ME)
        assert (seen.end.code, seen.output) == (3, "last\n")

    live(world, state, story)


@pytest.mark.parametrize("caller", [STRANGER, OPERATOR])
def test_only_the_owner_reports_and_sees_output(world, state, caller):
    async def story(daemon):
        share = await detached(daemon)
        with pytest.raises(DeniedError):
            await daemon.service.program_ended(share.id, report(daemon), caller)
        await daemon.service.program_ended(share.id, report(daemon), ME)
        assert (await daemon.service.show(share.id, caller)).output is None
        assert all(view.output is None for view in await daemon.service.shares(ME, ended=True))

    live(world, state, story)


def test_a_program_that_runs_has_not_ended(world, state):
    async def story(daemon):
        share, _ = await daemon.run(8)
        daemon.store.shares.update(share.id, supervised=True)
        with pytest.raises(ConflictError):
            await daemon.service.program_ended(share.id, report(daemon), ME)

    live(world, state, story)


@pytest.mark.parametrize("later", [-1e6, 1e6])
def test_a_time_that_cannot_be_is_not_believed(world, state, later):
    async def story(daemon):
        share = await detached(daemon)
        seen = await daemon.service.program_ended(share.id, report(daemon, later=later), ME)
        assert share.created <= seen.end.at <= daemon.world.clock.now()

    live(world, state, story)


def test_a_removed_record_takes_its_output_with_it(world, state):
    async def story(daemon):
        share = await detached(daemon)
        await daemon.service.program_ended(share.id, report(daemon), ME)
        await daemon.service.remove(share.id, ME)
        with pytest.raises(NoSuchShareError):
            await daemon.service.show(share.id, ME)
        assert daemon.store.outputs.get(share.id) is None

    live(world, state, story)
