# SPDX-License-Identifier: Apache-2.0
"""The compute mode of exclusive shares: set, and put back whatever happens meanwhile."""

from pathlib import Path

import pytest

from gpushare.mechanisms.compute_lock import ComputeLock
from gpushare.mechanisms.exclusive import Exclusive
from gpushare.model.errors import DeniedError, GpuLostError
from gpushare.model.gpu import ComputeMode
from gpushare.model.promise import enforcement
from gpushare.model.share import Level
from support.modes import Modes
from support.shares import GPU, grant, share

DEFAULT, LOCKED = ComputeMode.DEFAULT, ComputeMode.EXCLUSIVE_PROCESS
PROHIBITED = ComputeMode.PROHIBITED
OTHER = "ffffffffffff"


class Killed(BaseException):
    """The daemon is killed here."""


@pytest.fixture
def modes() -> Modes:
    return Modes()


def exclusive(modes: Modes, folder: Path, *, lock: bool = True) -> Exclusive:
    """As each new daemon makes it."""
    return Exclusive(ComputeLock(modes, folder / "exclusive"), lock=lock)


def test_without_the_setting_the_mode_stays(modes: Modes, tmp_path: Path) -> None:
    exclusive(modes, tmp_path, lock=False).prepare(share(), [grant()])
    assert modes.compute_mode(GPU) is DEFAULT


@pytest.mark.parametrize("lock", [True, False])
def test_what_the_share_is_promised_depends_on_the_lock(
    modes: Modes, tmp_path: Path, *, lock: bool
) -> None:
    promise = exclusive(modes, tmp_path, lock=lock).promise
    level = Level.ENFORCED if lock else Level.COOPERATIVE
    held = enforcement((promise,), whole=True)
    assert (held.memory, held.compute) == (level, level)
    assert promise.one_process is lock


@pytest.mark.parametrize("before", [DEFAULT, LOCKED])
@pytest.mark.parametrize("setting", [True, False])
def test_a_locked_gpu_gets_its_mode_back(
    tmp_path: Path, before: ComputeMode, *, setting: bool
) -> None:
    modes = Modes(before)
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    assert modes.compute_mode(GPU) is LOCKED
    successor = exclusive(modes, tmp_path, lock=setting)
    successor.release(share(id=OTHER))
    assert modes.compute_mode(GPU) is LOCKED, "another share does not undo it"
    successor.release(share())
    assert modes.compute_mode(GPU) is before
    modes.set_compute_mode(GPU, PROHIBITED)
    successor.release(share())
    assert modes.compute_mode(GPU) is PROHIBITED, "what was undone once is not touched again"


@pytest.mark.parametrize("theirs", [DEFAULT, PROHIBITED])
def test_a_mode_that_another_tool_set_meanwhile_stays(
    modes: Modes, tmp_path: Path, theirs: ComputeMode
) -> None:
    modes.of[GPU] = PROHIBITED
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    modes.set_compute_mode(GPU, theirs)
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    assert modes.compute_mode(GPU) is theirs
    exclusive(modes, tmp_path).release(share())
    assert modes.compute_mode(GPU) is theirs


def test_a_change_that_was_cut_short_is_repeated_and_undone(modes: Modes, tmp_path: Path) -> None:
    modes.error = Killed()
    with pytest.raises(Killed):
        exclusive(modes, tmp_path).prepare(share(), [grant()])
    modes.error = None
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    assert modes.compute_mode(GPU) is LOCKED
    exclusive(modes, tmp_path).release(share())
    assert modes.compute_mode(GPU) is DEFAULT


def test_a_mode_that_may_not_be_set_is_undone(modes: Modes, tmp_path: Path) -> None:
    modes.error = DeniedError("only root")
    with pytest.raises(DeniedError):
        exclusive(modes, tmp_path).prepare(share(), [grant()])
    exclusive(modes, tmp_path).release(share())
    assert not ComputeLock(modes, tmp_path / "exclusive").holders()


def test_a_lost_gpu_does_not_keep_its_share(modes: Modes, tmp_path: Path) -> None:
    exclusive(modes, tmp_path).prepare(share(), [grant()])
    modes.error = GpuLostError("gone")
    exclusive(modes, tmp_path).release(share())
    assert not ComputeLock(modes, tmp_path / "exclusive").holders()


def test_a_lock_that_another_tool_has_opened_is_broken(modes: Modes, tmp_path: Path) -> None:
    lock = ComputeLock(modes, tmp_path / "exclusive")
    assert lock.broken(GPU, share().id) == "", "nothing is locked"
    lock.close(GPU, share().id)
    assert lock.broken(GPU, share().id) == ""
    modes.set_compute_mode(GPU, DEFAULT)
    assert "changed to default" in lock.broken(GPU, share().id)


def test_only_a_root_daemon_has_the_lock(modes: Modes, tmp_path: Path) -> None:
    lock = ComputeLock(modes, tmp_path)
    assert "root" in Exclusive(lock, lock=True, unlockable="needs root").unavailable([])
    assert Exclusive(lock, unlockable="needs root").unavailable([]) == ""
