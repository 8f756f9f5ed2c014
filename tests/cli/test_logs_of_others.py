# SPDX-License-Identifier: Apache-2.0
"""`gpushare logs` opens only what is a log of the share's user."""

import os
import subprocess
from pathlib import Path

import pytest

from gpushare.client import Client
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes
from gpushare.model.view import CreateRequest
from support.daemon import Daemon


def log_at(daemon: Daemon, path: Path | str) -> subprocess.CompletedProcess[str]:
    """What `logs` answers for a share whose owner says that its log is there."""
    spec = ShareSpec(memory=MemoryAsk(limit=Bytes(GIB)), name="says")
    Client(daemon.socket).create(CreateRequest(spec=spec, log=str(path)))
    done = daemon.gpushare("logs", "says", timeout=120)
    daemon.gpushare("rm", "says")
    return done


def test_a_file_of_the_user_is_a_log(shared_daemon: Daemon, tmp_path: Path):
    (tmp_path / "log").write_text("hello\n")
    assert log_at(shared_daemon, tmp_path / "log").stdout == "hello\n"


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "device", "missing", "zero byte"])
def test_what_is_no_regular_file_is_refused(shared_daemon: Daemon, tmp_path: Path, kind: str):
    """A pipe would block the reader; to open a device may do something."""
    target = tmp_path / "secret"
    target.write_text("secret\n")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "folder").mkdir()
    paths = {"device": "/dev/zero", "zero byte": "/tmp/a\0b"}
    done = log_at(shared_daemon, paths.get(kind, tmp_path / kind))
    assert done.returncode == 4
    assert "code: GS1203" in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(shared_daemon: Daemon, tmp_path: Path):
    (tmp_path / "theirs").write_text("secret\n")
    os.chown(tmp_path / "theirs", 65534, 65534)
    done = log_at(shared_daemon, tmp_path / "theirs")
    assert "the file belongs to uid 65534" in done.stderr
    assert done.stdout == ""
