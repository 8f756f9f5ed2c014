# SPDX-License-Identifier: Apache-2.0
"""`gpushare simulate` from outside: exit codes, signals, what stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gpushare.hardware.simulated import profiles
from support.machine import clean_environment

SIMULATE = ("-m", "gpushare.cli", "simulate")


def start(tmp_path: Path, *arguments: str, **more) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *SIMULATE, *arguments],
        env={**clean_environment(), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def simulate(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(tmp_path, *arguments)
    out, err = process.communicate(timeout=60)
    assert list(tmp_path.iterdir()) == []
    return process.returncode, out, err


def test_the_exit_code_is_the_commands_own(tmp_path: Path):
    code, out, err = simulate(tmp_path, "h200-1", "--", "sh", "-c", "echo hello; exit 9")

    assert (code, out) == (9, "hello\n")
    assert err == "gpushare: simulated machine h200-1\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [("kill -9 $$", 128 + 9), ("kill -TERM $$", 128 + 15), ("exit 0", 0)],
)
def test_a_signal_is_reported_as_the_shell_reports_it(tmp_path: Path, command: str, code: int):
    assert simulate(tmp_path, "h200-1", "--", "sh", "-c", command)[0] == code


def test_a_missing_program_is_127_and_one_that_may_not_run_is_126(tmp_path: Path):
    assert simulate(tmp_path, "h200-1", "no-such-program")[0] == 127
    assert simulate(tmp_path, "h200-1", "/no/such/program")[0] == 127
    assert simulate(tmp_path, "h200-1", "/etc/hostname")[0] == 126


def test_options_of_the_command_are_the_commands(tmp_path: Path):
    assert simulate(tmp_path, "h200-1", "echo", "--list", "-x")[1] == "--list -x\n"


def test_an_unknown_profile_and_a_missing_one_are_usage_errors(tmp_path: Path):
    code, _, err = simulate(tmp_path, "h2oo", "true")

    assert code == 2
    assert "dgx-h100" in err
    assert simulate(tmp_path)[0] == 2


def test_native_parts_that_are_missing_are_named(tmp_path: Path, monkeypatch):
    nothing = tmp_path.with_name("nothing-built")
    nothing.mkdir()
    monkeypatch.setenv("GPUSHARE_NATIVE", str(nothing))

    code, _, err = simulate(tmp_path, "h200-1", "true")

    assert code == 7
    assert "gpushare-sim-machine does not exist" in err


def test_the_profiles_are_listed(tmp_path: Path):
    code, out, _ = simulate(tmp_path, "--list")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(profiles())


def test_without_a_command_the_users_shell_runs(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/pwd")

    assert simulate(tmp_path, "h200-1")[1] == f"{Path.cwd()}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_goes_to_the_command_and_the_machine_goes_with_it(tmp_path: Path, number):
    process = start(
        tmp_path,
        "h200-1",
        "--",
        "sh",
        "-c",
        f"sleep 60 & trap 'kill $!; exit 5' {number}; echo up; wait",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(number)

    process.communicate(timeout=120)
    assert process.returncode == 5
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_on_a_terminal_reaches_the_command_once(tmp_path: Path):
    counting = "trap 'n=$((n+1))' INT; echo up; read x; echo ints $n"
    leader, follower = os.openpty()
    process = subprocess.Popen(
        ["setsid", "-c", sys.executable, *SIMULATE, "h200-1", "sh", "-c", counting],
        env={**clean_environment(), "TMPDIR": str(tmp_path)},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    _read_until(leader, b"up\r\n")

    os.write(leader, b"\x03\n")

    assert b"ints 1" in _read_until(leader, b"ints ")
    process.wait(timeout=120)
    os.close(leader)


def _read_until(terminal: int, mark: bytes) -> bytes:
    shown = b""
    while mark not in shown or not shown.endswith(b"\n"):
        shown += os.read(terminal, 4096)
    return shown
