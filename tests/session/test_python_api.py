# SPDX-License-Identifier: Apache-2.0
"""`gpushare.share`: a Python program moves into a share by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

import gpushare
from support.daemon import Daemon

TOTAL = """
import ctypes
def total():
    cuda = ctypes.CDLL("libcuda.so.1")
    device, found = ctypes.c_int(), ctypes.c_size_t()
    assert cuda.cuInit(0) == 0
    assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
    assert cuda.cuDeviceTotalMem_v2(ctypes.byref(found), device) == 0
    return found.value >> 20
"""
PROGRAM = f"""
import os, sys
{TOTAL}
import gpushare
with gpushare.share(memory="2GiB", name="mine") as found:
    print(total(), found.name, found.state, sys.argv[1:])
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


def python(daemon: Daemon, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return daemon.machine.run(sys.executable, *words, env={**daemon.environment, **env})


def test_a_script_sees_its_share_and_keeps_its_arguments(daemon: Daemon, tmp_path: Path) -> None:
    done = python(daemon, write(tmp_path, PROGRAM), "--lr", "1e-3")

    assert done.stdout == "2048 mine running ['--lr', '1e-3']\n", done.stderr
    daemon.until_empty()


def test_code_on_the_command_line_moves_too(daemon: Daemon) -> None:
    done = python(daemon, "-W", "error", "-c", PROGRAM, "one")

    assert done.stdout == "2048 mine running ['one']\n", done.stderr


def test_modules_move_too(daemon: Daemon, tmp_path: Path) -> None:
    write(tmp_path, PROGRAM)

    done = python(daemon, "-m", "program", "one", PYTHONPATH=str(tmp_path))

    assert done.stdout == "2048 mine running ['one']\n", done.stderr


def test_the_exit_code_is_the_programs_own(daemon: Daemon) -> None:
    code = "import gpushare, sys\nwith gpushare.share(memory='1GiB'): sys.exit(7)"

    assert python(daemon, "-c", code).returncode == 7


def test_children_are_in_the_share_too(daemon: Daemon, tmp_path: Path) -> None:
    child = f"""
import multiprocessing
{TOTAL}
if __name__ == "__main__":
    import gpushare
    with gpushare.share(memory="2GiB"), multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(total))
"""
    assert python(daemon, write(tmp_path, child)).stdout == "2048\n"


def test_inside_a_share_nothing_new_is_asked_for(daemon: Daemon, tmp_path: Path) -> None:
    program = write(tmp_path, PROGRAM)

    done = daemon.gpushare(
        "run", "-m", "3GiB", "--name", "outer", "--", sys.executable, str(program)
    )

    assert done.stdout == "3072 outer running []\n", done.stderr


def test_a_share_that_comes_after_cuda_is_refused(daemon: Daemon) -> None:
    late = f"""
{TOTAL}
total()
import gpushare
try:
    with gpushare.share(memory="2GiB"):
        print("in")
except gpushare.GpushareError as error:
    print(error.code, error.hint)
"""
    done = python(daemon, "-c", late)

    assert done.stdout.startswith("GS1703 move gpushare.share()"), done.stderr
    assert daemon.shares() == []


def test_a_loaded_driver_that_did_not_start_is_not_too_late(daemon: Daemon) -> None:
    loaded = f"import ctypes; ctypes.CDLL('libcuda.so.1')\n{PROGRAM}"

    assert python(daemon, "-c", loaded).stdout.startswith("2048 ")


@pytest.mark.parametrize("words", [("-i", "-c", PROGRAM), ("-",)])
def test_a_session_that_cannot_begin_again_says_so(daemon: Daemon, words) -> None:
    done = subprocess.run(
        [sys.executable, *words],
        input=PROGRAM,
        env=daemon.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "UnsupportedError" in done.stderr
    assert "gpushare run" in done.stderr or "interactive" in done.stderr
    assert daemon.shares() == []


def test_no_capacity_is_an_error_not_a_wait_when_so_asked(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "all", "-m", "90%")
    code = """
import gpushare
try:
    with gpushare.share(memory="90%", wait=False):
        print("in")
except gpushare.GpushareError as error:
    print(error.code, error.exit_code)
"""
    assert python(daemon, "-c", code).stdout == "GS1702 75\n"


def test_without_a_daemon_the_error_says_how_to_start_one(daemon: Daemon, tmp_path: Path) -> None:
    done = python(daemon, "-c", PROGRAM, GPUSHARE_SOCKET=str(tmp_path / "none"))

    assert done.returncode == 1
    assert "DaemonUnreachableError" in done.stderr


def test_public_names_are_complete_and_sorted() -> None:
    assert sorted(gpushare.__all__) == sorted(set(gpushare.__all__))
    assert all(getattr(gpushare, name) is not None for name in gpushare.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="shaer"):
        _ = gpushare.shaer


def test_a_place_in_the_queue_outlives_a_restart_of_the_daemon(daemon: Daemon) -> None:
    daemon.gpushare("create", "--name", "all", "-m", "90%")
    waiting = daemon.spawn("run", "--name", "next", "-m", "90%", "--", "echo", "done")
    daemon.until_state("next", "queued")

    daemon.kill()
    daemon.start()
    daemon.gpushare("rm", "all")
    said, complained = waiting.communicate(timeout=60)

    assert said == "done\n", complained


def test_a_callback_hears_what_the_share_waits_for(daemon: Daemon) -> None:
    text = """
import gpushare
def heard(share):
    print(share.name, share.queue.position, flush=True)
    raise KeyboardInterrupt
with gpushare.share(memory="100GiB", name="late", on_wait=heard):
    pass
"""
    daemon.gpushare("create", "-m", "100GiB", "--name", "big")

    done = python(daemon, "-c", text)

    assert done.stdout == "late 1\n"
    assert "queued" not in done.stderr
    assert daemon.share("late") is None


def test_an_uncaught_error_shows_its_hint_and_code(daemon: Daemon) -> None:
    text = """
import gpushare
with gpushare.share(memory="900GiB"):
    pass
"""
    done = python(daemon, "-c", text)

    assert done.returncode == 1
    assert "\nhint: " in done.stderr
    assert "\ncode: GS1701" in done.stderr


def test_the_module_lists_its_public_names() -> None:
    assert set(gpushare.__all__) <= set(dir(gpushare))
