# SPDX-License-Identifier: Apache-2.0
"""A user's daemon is found from every login, whatever its runtime directory is."""

import os
import socket

import pytest

from gpushare.config.announced import LOCK, announcement, socket_of
from gpushare.config.sources import load


@pytest.fixture
def home(short_path):
    """A daemon that was started from a login with the runtime directory `first`."""
    (short_path / "first").mkdir()
    (short_path / "second").mkdir()
    state = short_path / "state" / "gpushare"
    state.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "first" / "gpushare.sock"))
        (state / LOCK).write_bytes(announcement(1, short_path / "first" / "gpushare.sock"))
        yield short_path


def reachable(home, **variables):
    env = {"XDG_STATE_HOME": str(home / "state"), **variables}
    return load({}, env, root=home, uid=1000).reachable_socket()


def test_a_daemon_is_found_from_a_login_with_another_runtime_directory(home):
    first = home / "first" / "gpushare.sock"
    assert reachable(home, XDG_RUNTIME_DIR=str(home / "second")) == first
    assert reachable(home) == first


def test_the_daemon_of_the_login_comes_first(home):
    own = home / "second" / "gpushare" / "gpushare.sock"
    own.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(own))
        assert reachable(home, XDG_RUNTIME_DIR=str(home / "second")) == own


def test_a_socket_that_is_set_is_used(home):
    assert str(reachable(home, GPUSHARE_SOCKET="/elsewhere")) == "/elsewhere"


@pytest.mark.parametrize(
    "text",
    [b"", b"12\n", b"12\nrelative\n", b"12\n/missing\n", b"\xff\n/\0x\n", b"1\n/etc/passwd\n"],
)
def test_what_names_no_socket_is_ignored(home, text):
    (home / "state" / "gpushare" / LOCK).write_bytes(text)
    assert socket_of(home / "state" / "gpushare") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket away")
def test_the_socket_of_another_user_is_ignored(home):
    os.chown(home / "first" / "gpushare.sock", 12345, 12345)
    assert socket_of(home / "state" / "gpushare") is None
