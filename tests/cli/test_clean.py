# SPDX-License-Identifier: Apache-2.0
"""`gpushare clean` on a simulated machine: leftovers for a new daemon, and others' programs.

MPS daemons of other tests may run at the same time, so only files are compared as a whole.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon, until

HOLD = Path(__file__).parents[1] / "support" / "cuda_program.py"
FILES = ("region", "board", "pool", "group")


def lives(pid: int) -> bool:
    """Whether it runs; one that its parent has not collected does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def listed(daemon: Daemon, *kinds: str) -> list[dict[str, Any]]:
    return list(daemon.json("clean", *kinds)["items"])


@pytest.fixture
def lost(daemon: Daemon) -> Daemon:
    """A program is killed while its daemon is dead; the next daemon has lost the state."""
    hold = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
    program = daemon.spawn(
        "run", "--name", "job", "-m", "2GiB", "-c", "40", "--", *hold, stdin=subprocess.PIPE
    )
    assert program.stdout.readline() == "up\n", program.communicate()
    daemon.kill()
    program.kill()
    program.communicate()
    shutil.rmtree(daemon.state)
    # The marks of the lost state are still there.
    daemon.start("--accept-loss")
    return daemon


@pytest.fixture
def outsider(daemon: Daemon) -> Iterator[subprocess.Popen[str]]:
    """A program with GPU memory in no share, which waits for its standard input."""
    with daemon.machine.start(sys.executable, HOLD, stdin=subprocess.PIPE) as program:
        program.stdin.write("take 1024\n")
        program.stdin.flush()
        for _ in ("start", "take"):
            assert json.loads(program.stdout.readline())["result"] == 0
        yield program
        program.kill()


def _about(daemon: Daemon, pid: int) -> dict[str, Any] | None:
    items = listed(daemon, "process", "mps")
    return next((one for one in items if (one["process"] or {}).get("pid") == pid), None)


def test_nothing_is_left_of_shares_that_ended(daemon: Daemon):
    assert daemon.gpushare("run", "-m", "1GiB", "--", "true").returncode == 0
    daemon.until_empty()

    done = daemon.gpushare("clean", "--check", *FILES)

    assert done.returncode == 0, done.stdout


def test_what_a_lost_share_has_left_is_listed_and_not_touched(lost: Daemon):
    found = listed(lost, *FILES, "mps")

    kinds = {one["kind"] for one in found if one["ours"]}
    assert kinds >= {"region", "mps"}
    assert all(
        "no longer exist" in one["why"] or one["kind"] == "pool" for one in found if one["ours"]
    )
    assert lost.gpushare("clean").returncode == 0
    assert [one["name"] for one in listed(lost, "region")] == [
        str(path) for path in (lost.runtime / "regions").iterdir()
    ]


def test_check_fails_while_something_is_there(lost: Daemon):
    done = lost.gpushare("clean", "--check", "region")

    assert done.returncode == 3
    assert "GS1802" in done.stderr
    assert "region" in done.stdout


def test_yes_removes_what_is_ours(lost: Daemon):
    daemons = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if str(lost.runtime).encode() in _read(path) and b"mps" in _read(path.parent / "comm")
    ]
    assert daemons

    done = lost.gpushare("clean", "--yes")

    assert done.returncode == 0, done.stderr
    assert lost.gpushare("clean", "--check", *FILES).returncode == 0
    assert not any(one["ours"] for one in listed(lost))
    until(lambda: not any(map(lives, daemons)), "its MPS daemon to end")
    assert not list((lost.runtime / "regions").iterdir())


def test_kinds_choose_what_goes(lost: Daemon):
    done = lost.gpushare("clean", "--yes", "board", "-q")

    assert done.returncode == 0
    assert not listed(lost, "board")
    assert listed(lost, "region")


def test_a_living_share_loses_nothing(lost: Daemon):
    lost.gpushare("create", "-m", "1GiB", "--name", "desk")

    lost.gpushare("clean", "--yes")

    done = lost.gpushare("exec", "desk", "--", "sh", "-c", "test -f $GPUSHARE_REGION && echo it")
    assert done.stdout == "it\n", done.stderr
    assert lost.json("verify", "desk")["ok"]


def test_a_program_in_no_share_ends_only_when_named(daemon: Daemon, outsider):
    about = _about(daemon, outsider.pid)
    assert about["memory"] >= 1 << 30
    assert about["command"]
    assert about["user"]

    daemon.gpushare("clean", "--yes")
    assert outsider.poll() is None
    done = daemon.json("clean", "--yes", "--process", str(outsider.pid))

    assert [item["outcome"] for item in done["items"]] == ["asked"]
    assert outsider.wait(120) == -signal.SIGTERM


def test_force_kills(daemon: Daemon, outsider):
    os.kill(outsider.pid, signal.SIGSTOP)

    done = daemon.gpushare("clean", "--yes", "--force", "--process", str(outsider.pid))

    assert done.returncode == 0, done.stderr
    assert outsider.wait(60) == -signal.SIGKILL


CALLS = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
context, at = ctypes.c_void_p(), ctypes.c_uint64()
assert not cuda.cuInit(0)
assert not cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
assert not cuda.cuCtxSetCurrent(context)
print("calls", flush=True)
while True:
    cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(4 << 20))
    cuda.cuMemFree_v2(at)
"""


def test_force_kills_a_program_that_is_stopped_in_a_call(daemon: Daemon):
    """Where it may hold the lock of the simulated machine."""
    program = daemon.machine.start(sys.executable, "-c", CALLS)
    try:
        assert program.stdout.readline() == "calls\n"
        os.kill(program.pid, signal.SIGSTOP)

        done = daemon.json("clean", "--yes", "--force", "--process", str(program.pid))

        assert [item["outcome"] for item in done["items"]] == ["done"]
        assert program.wait(60) == -signal.SIGKILL
    finally:
        program.kill()
        program.communicate()


def test_an_mps_daemon_of_another_user_is_listed_and_left_alone(daemon: Daemon, short_path):
    env = {
        **daemon.environment,
        "CUDA_MPS_PIPE_DIRECTORY": str(short_path / "theirs"),
        "CUDA_MPS_LOG_DIRECTORY": str(short_path / "log"),
    }
    (short_path / "theirs").mkdir()
    control = daemon.machine.start(
        "nvidia-cuda-mps-control", "-f", env={**daemon.environment, **env}
    )
    try:
        about = until(lambda: _about(daemon, control.pid), "it to be listed")
        assert (about["kind"], about["ours"]) == ("mps", False)
        assert str(short_path / "theirs") in about["why"]
        daemon.gpushare("clean", "--yes", "mps")
        assert control.poll() is None
        done = daemon.gpushare("clean", "--yes", "-f", "--process", str(control.pid))
        assert done.returncode == 0, done.stderr
        assert control.wait(120) == -signal.SIGKILL
    finally:
        control.kill()
        control.communicate()


def test_what_makes_no_sense_is_refused(daemon: Daemon):
    wrong = ("--yes --dry-run", "--yes --check", "--force", "--yes --process 1", "--process 0")
    for words in (*wrong, "attic"):
        assert daemon.gpushare("clean", *words.split()).returncode == 2, words


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
