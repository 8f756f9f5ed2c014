# SPDX-License-Identifier: Apache-2.0
"""Where no daemon is started by a command, because another one is to serve the caller."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from gpushare.config.machine_daemon import UNIT
from gpushare.config.sources import load
from gpushare.model.errors import DaemonUnreachableError
from gpushare.session.own_daemon import OwnDaemon

ENABLED = f"etc/systemd/system/multi-user.target.wants/{UNIT}"


class Caller:
    """A user whose files are in `root`; what a command would print is in `lines`."""

    def __init__(self, root: Path, uid: int = 7, **env: str) -> None:
        self.root, self.lines = root, list[str]()
        home = root / "home"
        config = load({}, {"HOME": str(home), **env}, root, uid=uid)
        self.state = config.settings.state_dir
        self.own = OwnDaemon(config, self.lines.append)

    def refused(self) -> DaemonUnreachableError:
        """The error; nothing was started, so not even its lock is there."""
        with pytest.raises(DaemonUnreachableError) as caught:
            self.own.client()
        assert not self.state.exists()
        assert self.lines == []
        return caught.value


def put(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()


def test_a_unit_of_the_machine_that_is_down_is_for_root_to_start(short_path: Path) -> None:
    put(short_path / ENABLED)
    assert "as root: systemctl start gpushare" in Caller(short_path).refused().hint


def test_a_unit_of_the_user_that_is_down_is_for_systemd_to_start(short_path: Path) -> None:
    put(short_path / f"home/.config/systemd/user/default.target.wants/{UNIT}")
    assert "systemctl --user start gpushare" in Caller(short_path).refused().hint


def test_a_daemon_of_the_machine_that_was_killed_is_for_root_to_start(short_path: Path) -> None:
    path = short_path / "run/gpushare/gpushare.sock"
    path.parent.mkdir(parents=True)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
    error = Caller(short_path).refused()
    assert str(path) in error.what
    assert "gpushare daemon --detach" in error.hint


def test_roots_own_daemon_is_that_of_the_machine(short_path: Path) -> None:
    error = Caller(short_path, uid=0).refused()
    assert "whole machine" in error.because
    assert "as root" in error.hint


def test_a_client_of_a_daemon_that_is_named_is_made_without_asking_it(short_path: Path) -> None:
    put(short_path / ENABLED)
    named = Caller(short_path, GPUSHARE_SOCKET=str(short_path / "named"))
    assert named.own.client().where == short_path / "named"
    off = Caller(short_path, GPUSHARE_AUTO_START="0")
    assert off.own.client().where == short_path / "tmp/gpushare-7/gpushare.sock"
