# SPDX-License-Identifier: Apache-2.0
"""A daemon whose socket is removed listens again, and says where."""

import shutil

from gpushare.config.announced import socket_of
from support.daemon import Daemon


def test_a_second_daemon_is_told_where_the_first_listens(daemon: Daemon):
    other = {"GPUSHARE_SOCKET": str(daemon.folder / "other.sock")}
    refused = daemon.gpushare("daemon", env=other)
    assert "code: GS1402" in refused.stderr
    hint = f"gpushare --socket {daemon.socket} ps"
    assert hint in refused.stderr
    assert daemon.gpushare(*hint.split()[1:], env=other).returncode == 0


def test_a_daemon_whose_runtime_directory_cannot_come_back_listens_in_its_state_directory(
    unstarted: Daemon, until
):
    """The runtime directory of a user is removed at logout, and only root can make it again."""
    daemon = unstarted
    daemon.runtime = daemon.folder / "login" / "run"
    daemon.socket = daemon.runtime / "gpushare.sock"
    daemon.runtime.mkdir(parents=True)
    daemon.start()
    shutil.rmtree(daemon.folder / "login")
    (daemon.folder / "login").touch()
    until(lambda: socket_of(daemon.state), "another socket")
    daemon.socket = socket_of(daemon.state)
    assert daemon.socket.parent == daemon.state
    assert daemon.gpushare("ps").returncode == 0
