# SPDX-License-Identifier: Apache-2.0
"""Folders and sockets that no other user can have put there; messages to systemd; names."""

import os
import socket
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.daemon.base import paths
from gpushare.daemon.base.paths import listen, private_folder
from gpushare.daemon.base.systemd import Notifier
from gpushare.daemon.placement.names import after_program, checked
from gpushare.hardware.linux.clock import SystemClock
from gpushare.model.errors import DaemonRunningError, DeniedError


def test_a_folder_is_made_private(tmp_path):
    made = private_folder(tmp_path / "a" / "run")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert private_folder(made) == made


def test_a_folder_that_others_can_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(DeniedError, match="written by others"):
        private_folder(tmp_path)


def test_a_link_is_no_folder(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(DeniedError, match="is not ours"):
        private_folder(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_someone_else_is_refused(tmp_path):
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(DeniedError, match="belongs to uid 12345"):
        private_folder(tmp_path)


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o600), (True, 0o666)])
def test_the_socket_is_for_the_right_users(short_path, monkeypatch, shared, mode):
    monkeypatch.setattr(paths, "GROUP", "no-such-group-here")
    with listen(short_path / "s", shared=shared):
        assert stat.S_IMODE((short_path / "s").stat().st_mode) == mode


def test_a_socket_left_by_a_killed_daemon_is_replaced(short_path):
    listen(short_path / "s", shared=False).close()
    assert (short_path / "s").exists()
    listen(short_path / "s", shared=False).close()


def test_a_socket_that_answers_is_left_alone(short_path):
    with listen(short_path / "s", shared=False), pytest.raises(DaemonRunningError):
        listen(short_path / "s", shared=False)


def test_a_file_that_is_no_socket_is_left_alone(short_path):
    (short_path / "s").write_text("precious")
    with pytest.raises(DeniedError):
        listen(short_path / "s", shared=False)
    assert (short_path / "s").read_text() == "precious"


def test_a_path_that_is_too_long_is_reported(tmp_path):
    with pytest.raises(DeniedError, match="too long"):
        listen(tmp_path / ("x" * 120), shared=False)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_notified(short_path, abstract):
    address = f"@gpushare-test-{os.getpid()}" if abstract else str(short_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        Notifier(address).send("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_sent():
    Notifier("").send("READY=1")
    assert Notifier("").watchdog_seconds is None
    assert Notifier("", "30000000").watchdog_seconds == 30


def test_one_clock_tells_the_time_and_the_other_how_long():
    clock = SystemClock()
    before = clock.elapsed()
    assert abs(clock.now().timestamp() - time.time()) < 60
    assert clock.elapsed() >= before


@given(st.text(), st.sets(st.text(max_size=4)))
def test_any_program_gives_a_good_name(program, taken):
    name = after_program(program, taken)
    assert checked(name) == name
    assert name not in taken
