# SPDX-License-Identifier: Apache-2.0
"""The daemon of a simulated machine: folders of its own, and it ends with the machine."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpushare.hardware.simulated import machine
from support.machine import clean_environment

SIMULATE = ("-m", "gpushare.cli", "simulate", "h200-1", "--", "sh", "-c")
REAL = [Path("/run/gpushare"), Path("/var/lib/gpushare"), Path("/var/log/gpushare")]
UP = """
$GS daemon --detach 2> /dev/null
$GS create -m 1GiB --name held > /dev/null
$GS run -d -m 1GiB -- sleep 300 > /dev/null
"""


def start(folder: Path, script: str, **variables: str) -> subprocess.Popen[str]:
    env = clean_environment() | {
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder),
        "GS": f"{sys.executable} -m gpushare.cli",
    }
    return subprocess.Popen(
        [sys.executable, *SIMULATE, script],
        env=env | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def up(script: str) -> str:
    return UP + script


def listing() -> list[str]:
    return [str(path) for top in REAL if top.is_dir() for path in sorted(top.rglob("*"))]


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


PIDS = "$GS daemon status -q; $GS show sleep -o json | tr -d ' \n' | grep -o 'pids\":.[0-9]*'; "


def pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    return [int("".join(filter(str.isdigit, line))) for line in lines]


def test_its_daemon_uses_no_folder_of_the_real_machine(short_path: Path):
    before = listing()
    script = up('echo "$GPUSHARE_SIM_MACHINE"; $GS config show -o json')
    out, _ = start(short_path, script).communicate(timeout=120)
    image, _, settings = out.partition("\n")
    folder = str(Path(image).parent)
    for key in ("state_dir", "runtime_dir", "socket", "audit_file"):
        assert f'"key": "{key}",' in settings
    values = [line.split('"')[3] for line in settings.splitlines() if '"value"' in line]
    assert sum(value.startswith(folder) for value in values) >= 4
    assert listing() == before


def test_daemon_and_programs_end_with_the_machine(short_path: Path, until: Callable[..., object]):
    process = start(short_path, up(PIDS))
    found = pids(process)
    process.communicate(timeout=120)
    until(lambda: all(map(gone, found)), "daemon and program to end")
    assert list(short_path.glob("gpushare-sim*")) == []


def test_they_end_when_the_machine_is_killed(short_path: Path, until: Callable[..., object]):
    process = start(short_path, up(PIDS + "read x"))
    found = pids(process)
    process.send_signal(signal.SIGKILL)
    until(lambda: all(map(gone, found)), "daemon and program to end")
    process.communicate(timeout=120)


def test_folders_that_are_named_are_kept():
    with machine("h200-1") as made:
        found = made.environment({"GPUSHARE_RUNTIME_DIR": "/mine", "GPUSHARE_HOST": "elsewhere"})
    assert found["GPUSHARE_RUNTIME_DIR"] == "/mine"
    assert found["GPUSHARE_STATE_DIR"] == str(made.folder / "state")
    assert "GPUSHARE_HOST" not in found


def test_a_machine_within_a_machine_has_folders_of_its_own():
    with machine("h200-1") as outer, machine("a10-2") as inner:
        found = inner.environment(outer.environment({}))
    assert found["GPUSHARE_SOCKET"] == str(inner.folder / "run" / "gpushare.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_users_reach_a_machine_of_root(short_path: Path):
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    short_path.chmod(0o755)
    user = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    script = up(f"{user} sh -c 'test -w $GPUSHARE_SIM_MACHINE && test -w $GPUSHARE_SOCKET'")
    process = start(short_path, script)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
