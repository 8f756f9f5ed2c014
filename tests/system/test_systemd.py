# SPDX-License-Identifier: Apache-2.0
"""The units are ones that systemd accepts, and the daemon tells it when it is ready."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import GPUSHARE, START_SECONDS, Daemon

pytestmark = pytest.mark.system
UNITS = Path(__file__).parents[2] / "deploy" / "systemd"


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    [start] = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
    program = start.removeprefix("ExecStart=").split()[0]
    for each in UNITS.glob("*.service"):  # a unit may need another one
        (tmp_path / each.name).write_text(each.read_text().replace(program, sys.executable))
    copy = tmp_path / unit.name
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


def test_the_daemon_tells_systemd_that_it_is_ready_and_that_it_stops(
    machine, short_path: Path
) -> None:
    daemon = Daemon(machine, short_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(short_path / "notify"))
        manager.settimeout(START_SECONDS)
        process = subprocess.Popen(
            [*GPUSHARE, "daemon"],
            env={**daemon.environment, "NOTIFY_SOCKET": str(short_path / "notify")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = manager.recv(4096)
            while b"READY=1" not in told:
                told = manager.recv(4096)
            assert daemon.gpushare("gpus").returncode == 0
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in told:
                told = manager.recv(4096)
        finally:
            process.terminate()
            assert process.wait(START_SECONDS) == os.EX_OK
