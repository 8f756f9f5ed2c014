# SPDX-License-Identifier: Apache-2.0
"""A command that makes a share starts the caller's own daemon where none runs."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpushare.config.announced import LOCK, announcement
from gpushare.hardware.linux.processes import ProcProcesses
from support.daemon import GPUSHARE, Daemon, until
from support.login import STARTED, Login
from support.machine import AUTO_START, Machine

SHARE = """
import gpushare
with gpushare.share(memory="1GiB", name="mine") as found:
    print(found.name)
"""
# The daemon, and not the command that starts it, hangs before it reads anything.
HANGING = """
import os, sys, time
words = sys.orig_argv
if "--until-idle" in words and "--detach" not in words:
    open(os.environ["STARTED_PID"], "w").write(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def login(machine: Machine, tmp_path: Path) -> Iterator[Login]:
    found = Login(machine, tmp_path)
    yield found
    found.end()


def test_run_starts_a_daemon_and_says_so_once(login: Login) -> None:
    first = login.gpushare("run", "-m", "1GiB", "--", "echo", "first")
    second = login.gpushare("run", "-m", "1GiB", "--", "echo", "second")

    assert (first.stdout, second.stdout) == ("first\n", "second\n"), first.stderr
    assert [line for line in first.stderr.splitlines() if STARTED in line] == [
        "gpushare: started your own daemon, which ends when idle (see gpushare daemon status)"
    ]
    assert second.stderr == ""


def test_status_says_how_it_was_started_and_stop_ends_it(login: Login) -> None:
    login.gpushare("run", "-m", "1GiB", "--", "true")

    status = login.gpushare("daemon", "status")
    stopped = login.gpushare("daemon", "stop")

    assert "lifetime started by gpushare run, ends when idle" in status.stdout
    assert stopped.returncode == 0
    assert login.daemon is None


def test_a_daemon_of_a_person_says_nothing_about_an_end(daemon: Daemon) -> None:
    assert "lifetime" not in daemon.gpushare("daemon", "status").stdout
    assert daemon.json("daemon", "status")["lifetime"] == "until-stopped"


@pytest.mark.parametrize(
    "words", [("create", "-m", "1GiB"), ("run", "-m", "1GiB", "--dry-run"), ("run", "-d", "true")]
)
def test_other_commands_that_need_a_place_start_one_too(
    login: Login, words: tuple[str, ...]
) -> None:
    done = login.gpushare(*words)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(STARTED) == 1


def test_a_python_program_starts_one_too(login: Login) -> None:
    done = login.machine.run(sys.executable, "-c", SHARE, env=login.environment, timeout=240)

    assert done.stdout == "mine\n", done.stderr
    assert done.stderr.count(STARTED) == 1
    assert login.daemon


@pytest.mark.parametrize(
    "words", [("ps",), ("show", "x"), ("exec", "x", "--", "true"), ("gpus",), ("rm", "x"), ()]
)
def test_commands_that_make_no_share_start_none(login: Login, words: tuple[str, ...]) -> None:
    done = login.gpushare(*words)

    assert login.daemon is None
    assert done.returncode in {0, 6}
    assert "no daemon answers" in done.stdout + done.stderr


def test_a_command_that_is_refused_starts_none(login: Login) -> None:
    assert login.gpushare("run", "-m", "1GiB").returncode == 2
    assert login.gpushare("run", "-m", "1GiB", "--", "no-such-program").returncode == 127
    assert login.daemon is None


def test_of_commands_at_the_same_moment_one_starts_it(login: Login) -> None:
    commands = [login.spawn("run", "-m", "1GiB", "--", "echo", str(n)) for n in range(3)]
    script = login.machine.start(sys.executable, "-c", SHARE, env=login.environment)

    outputs = [command.communicate(timeout=240) for command in (*commands, script)]

    assert [out for out, _ in outputs] == ["0\n", "1\n", "2\n", "mine\n"], outputs
    assert sum(err.count(STARTED) for _, err in outputs) == 1


@pytest.mark.parametrize(
    "named",
    [
        {"GPUSHARE_AUTO_START": "0"},
        {"GPUSHARE_SOCKET": "/tmp/there-is-none.sock"},
        {"GPUSHARE_HOST": "https://localhost:1", "GPUSHARE_TOKEN": "gs_0"},
        {"GPUSHARE_CONTEXT": "other"},
    ],
)
def test_none_is_started_where_the_caller_forbids_it_or_names_one(
    login: Login, named: dict[str, str]
) -> None:
    config = login.folder / "config/gpushare/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[contexts.other]\nhost = "https://localhost:1"\n')

    done = login.gpushare("run", "-m", "1GiB", "--", "true", env=named)

    assert done.returncode == 6
    assert "code: GS1401" in done.stderr
    assert login.daemon is None


@pytest.mark.parametrize("option", [("--socket", "/tmp/none.sock"), ("--context", "other")])
def test_none_is_started_where_an_option_names_one(login: Login, option: tuple[str, str]) -> None:
    config = login.folder / "config/gpushare/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[contexts.other]\nhost = "https://localhost:1"\n')

    assert login.gpushare(*option, "create", "-m", "1GiB").returncode == 6
    assert login.daemon is None


def test_a_file_turns_it_off(login: Login) -> None:
    config = login.folder / "config/gpushare/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("auto_start = false\n")
    # A variable would win.
    login.environment.pop("GPUSHARE_AUTO_START")

    done = login.gpushare("run", "-m", "1GiB", "--", "true")

    assert "code: GS1401" in done.stderr
    assert login.daemon is None


def test_it_ends_when_idle(login: Login) -> None:
    login.environment["GPUSHARE_AUTO_STOP_AFTER"] = "1"
    login.gpushare("create", "-m", "1GiB", "--name", "kept")
    login.gpushare("rm", "kept")

    login.until_ended("the idle daemon to end")

    assert "daemon.idle" in (login.state / "daemon.log").read_text()
    assert login.gpushare("run", "-m", "1GiB", "--", "true").stderr.count(STARTED) == 1


def test_without_a_gpu_the_error_is_about_it_and_no_daemon_is_left(login: Login) -> None:
    login.machine.fault("driver_mismatch=1")

    done = login.gpushare("run", "-m", "1GiB", "--", "true")

    assert "code: GS1502" in done.stderr
    assert STARTED not in done.stderr
    assert login.daemon is None


def test_what_prevents_its_start_is_the_error(login: Login) -> None:
    login.state.mkdir(parents=True)
    (login.state / "state.db").write_bytes(b"not a database" * 100)

    done = login.gpushare("run", "-m", "1GiB", "--", "true")

    assert done.returncode == 125
    words = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert words == ["error", "because", "hint", "code"]
    assert "code: GS1601" in done.stderr
    assert login.daemon is None


def test_a_state_directory_that_cannot_be_made_is_named(login: Login) -> None:
    login.state.parent.mkdir(parents=True, exist_ok=True)
    login.state.touch()

    done = login.gpushare("run", "-m", "1GiB", "--", "true")

    assert f"cannot write {login.state}" in done.stderr
    assert "GPUSHARE_STATE_DIR" in done.stderr


def test_a_daemon_of_another_machine_that_shares_the_home_is_named(login: Login) -> None:
    login.state.mkdir(parents=True)
    with (login.state / LOCK).open("wb") as lock:
        # Linux gives no pid that high.
        lock.write(announcement(2**22 + 1))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)

        done = login.gpushare("run", "-m", "1GiB", "--", "true")

    assert "another machine or container" in done.stderr
    assert "GPUSHARE_STATE_DIR" in done.stderr
    assert STARTED not in done.stderr


def test_ctrl_c_ends_a_daemon_that_starts(login: Login) -> None:
    hook, pid_file = login.folder / "hook", login.folder / "pid"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HANGING)
    env = {"PYTHONPATH": str(hook), "STARTED_PID": str(pid_file)}
    command = login.spawn("run", "-m", "1GiB", "--", "true", env=env)
    pid = until(lambda: pid_file.exists() and int(pid_file.read_text() or 0), "the daemon")
    process = os.pidfd_open(pid)

    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)

    assert command.returncode == 130
    until(lambda: _ended(process), "the daemon to end with the command")
    os.close(process)


def test_the_next_run_adopts_the_shares_of_a_daemon_that_was_killed(login: Login) -> None:
    login.gpushare("create", "-m", "1GiB", "--name", "kept")
    login.kill()

    done = login.gpushare("run", "-m", "1GiB", "--", *GPUSHARE, "ps", "-q")

    assert "kept" in done.stdout.split(), done.stderr
    assert done.stderr.count(STARTED) == 1


def test_a_run_that_waits_starts_another_when_its_daemon_is_killed(login: Login) -> None:
    login.gpushare("create", "-m", "130GiB", "--name", "big")
    waiting = login.spawn("run", "-m", "130GiB", "--name", "next", "--", "echo", "done")
    until(lambda: "next" in login.names(), "the second share to wait")
    login.kill()
    until(lambda: login.daemon, "another daemon")
    until(lambda: "big" in login.names(), "the shares of before")

    login.gpushare("rm", "big")
    said, complained = waiting.communicate(timeout=240)

    assert said == "done\n", complained
    assert complained.count(STARTED) == 1


def test_it_can_be_stopped_where_its_caller_has_blocked_signals(login: Login) -> None:
    blocked = f"""
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM, signal.SIGINT}})
os.execv({GPUSHARE[0]!r}, {[*GPUSHARE, "run", "-m", "1GiB", "--", "true"]!r})
"""
    done = login.machine.run(sys.executable, "-c", blocked, env=login.environment, timeout=240)

    assert done.stderr.count(STARTED) == 1
    assert login.gpushare("daemon", "stop").returncode == 0


def test_it_inherits_nothing_of_its_caller(login: Login) -> None:
    read, write = os.pipe()
    command = [*GPUSHARE, "run", "-m", "1GiB", "--", "sh", "-c", "echo $PPID $$"]
    done = subprocess.run(
        command,
        env={**login.environment, "CUDA_VISIBLE_DEVICES": "0", "LD_PRELOAD": ""},
        capture_output=True,
        text=True,
        cwd=login.folder,
        umask=0,
        pass_fds=[write],
        check=False,
    )
    os.close(write)
    assert done.returncode == 0, done.stderr
    pid = login.daemon
    assert pid is not None
    proc = Path(f"/proc/{pid}")

    # Only this process has the read end by now: the daemon has no copy of the other.
    assert os.read(read, 1) == b""
    os.close(read)
    assert (proc / "cwd").readlink() == Path("/")
    assert "Umask:\t0077" in (proc / "status").read_text()
    assert os.getsid(pid) == pid
    names = {word.partition(b"=")[0] for word in (proc / "environ").read_bytes().split(b"\0")}
    assert not names & {b"CUDA_VISIBLE_DEVICES", b"LD_PRELOAD"}
    # Nor is it a child of the program.
    parent = int((proc / "stat").read_text().rpartition(")")[2].split()[1])
    assert parent not in map(int, done.stdout.split())


def test_a_person_who_starts_one_too_hears_that_it_ends_when_idle(login: Login) -> None:
    login.gpushare("run", "-m", "1GiB", "--", "true")

    done = login.gpushare("daemon", "--detach")

    assert "code: GS1402" in done.stderr
    assert "it ends when idle" in done.stderr


def test_a_simulated_machine_takes_its_daemon_along(tmp_path: Path, machine: Machine) -> None:
    script = f"{' '.join(GPUSHARE)} run -m 1GiB -- true && cat $GPUSHARE_STATE_DIR/daemon.lock"
    done = machine.run(
        *GPUSHARE, "simulate", "h200-1", "--", "sh", "-c", script, env=AUTO_START, timeout=240
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(STARTED) == 1
    pid = int(done.stdout.split()[0])
    until(lambda: not ProcProcesses().find(pid), "the daemon to end with its machine")


def _ended(process: int) -> bool:
    """Whether the process of a pidfd is gone."""
    try:
        signal.pidfd_send_signal(process, 0)
    except ProcessLookupError:
        return True
    return False
