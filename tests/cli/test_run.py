# SPDX-License-Identifier: Apache-2.0
"""`gpushare run` on a simulated machine, as a user types it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from support.daemon import GPUSHARE, Daemon, until

PRINT = "import os; print(os.environ.get('{}', 'none'))"


def test_the_program_finds_its_share_in_its_environment(daemon: Daemon):
    done = daemon.gpushare(
        "run",
        "-m",
        "8GiB",
        "--name",
        "mine",
        "--",
        sys.executable,
        "-c",
        PRINT.format("GPUSHARE_SHARE"),
    )

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 12
    assert done.stderr == ""


@pytest.mark.parametrize("code", [0, 7, 255])
def test_the_exit_code_is_the_programs_own(daemon: Daemon, code):
    assert daemon.gpushare("run", "-m", "1GiB", "--", "sh", "-c", f"exit {code}").returncode == code


def test_a_signal_reaches_the_program_itself(daemon: Daemon):
    with daemon.spawn("run", "-m", "1GiB", "--name", "s", "--", "sleep", "60") as process:
        daemon.until_state("s", "running")
        process.send_signal(signal.SIGTERM)

        assert process.wait(120) == -signal.SIGTERM
    daemon.until_empty()


def test_the_program_gets_sigpipe_as_from_a_shell(daemon: Daemon):
    done = daemon.gpushare("run", "-m", "1GiB", "--", "sh", "-c", "grep SigIgn /proc/self/status")

    assert int(done.stdout.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_the_program_inherits_no_descriptors(daemon: Daemon):
    done = daemon.gpushare("run", "-m", "1GiB", "--", "ls", "/proc/self/fd")

    assert done.stdout.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


def test_a_compute_limit_is_held_however_programs_run(daemon: Daemon):
    wanted = ("run", "-m", "1GiB", "-c", "20")
    sliced = daemon.gpushare(*wanted, "--mechanism", "timeslice", "--", "true")
    daemon.gpushare("create", "-m", "1GiB", "--name", "slices")
    beside = daemon.gpushare(*wanted, "--", "true")

    assert sliced.stderr == beside.stderr == ""
    holds = [share["enforcement"]["compute"] for share in daemon.json("ps", "-a")["items"]]
    assert holds == ["cooperative"] * 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(daemon: Daemon, closed):
    """As some service managers and cron tables start programs."""
    words = [*GPUSHARE, "run", "-m", "1GiB", "--", "true"]
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *words]
    assert subprocess.run(command, env=daemon.environment, check=False).returncode == 0


@pytest.mark.parametrize(
    ("command", "code", "word"),
    [
        ("no-such-program", 127, "GS1901"),
        ("/etc/passwd", 126, "GS1902"),
        ("/etc", 126, "GS1902"),
        (f"/etc/{'long' * 100}", 126, "GS1902"),
    ],
)
def test_a_program_that_cannot_start_takes_no_share(shared_daemon: Daemon, command, code, word):
    done = shared_daemon.gpushare("run", "-m", "1GiB", "--", command)

    assert done.returncode == code
    assert f"code: {word}" in done.stderr
    assert shared_daemon.json("ps", "-a")["items"] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search every folder")
def test_a_program_in_a_closed_folder_cannot_be_executed(shared_daemon: Daemon, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "program").write_text("#!/bin/sh\n")
    closed.chmod(0)

    done = shared_daemon.gpushare("run", "-m", "1GiB", "--", closed / "program")
    closed.chmod(0o700)

    assert done.returncode == 126
    assert "because: permission denied" in done.stderr
    assert "code: GS1902" in done.stderr


def test_a_script_without_its_interpreter_gives_the_share_back(daemon: Daemon):
    script = daemon.folder / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    done = daemon.gpushare("run", "-m", "1GiB", "--", script)

    assert done.returncode == 127
    daemon.until_empty()


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("-m", "8XiB"), 2, "GS1101"),
        (("-c", "0"), 2, "GS1101"),
        (("-c", "12.5"), 2, "GS1101"),
        (("--ttl", "soon"), 2, "GS1101"),
        (("-m", "2GiB", "--memory-request", "3GiB"), 2, "GS1102"),
        (("-l", "nothing"), 2, "GS1102"),
        (("--bogus",), 2, "GS1100"),
        (("--gpu", "7"), 4, "GS1202"),
        (("-m", "900GiB"), 2, "GS1701"),
        (("-n", "3"), 2, "GS1701"),
        (("--mechanism", "mig"), 7, "GS1511"),
        (("--isolation", "strong", "-m", "1GiB"), 7, "GS1511"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(shared_daemon: Daemon, arguments, code, word):
    done = shared_daemon.gpushare("run", *arguments, "--", "true")

    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("error: ")
    assert f"code: {word}" in done.stderr
    assert done.stdout == ""


def test_without_room_no_wait_fails_at_once(daemon: Daemon):
    with daemon.spawn("run", "-m", "100GiB", "--name", "big", "--", "sleep", "60") as process:
        daemon.until_state("big", "running")

        done = daemon.gpushare("run", "-m", "100GiB", "--no-wait", "--", "true")
        process.kill()

    assert done.returncode == 75
    assert "waits" in done.stderr or "wait for" in done.stderr
    assert "code: GS1702" in done.stderr


def test_a_queued_run_says_why_and_starts_when_there_is_room(daemon: Daemon):
    with daemon.spawn("run", "-m", "100GiB", "--name", "big", "--", "sleep", "60") as first:
        daemon.until_state("big", "running")
        with daemon.spawn("run", "-m", "100GiB", "--name", "late", "--", "echo", "went") as second:
            late = daemon.until_state("late", "queued")
            first.kill()
            out, err = second.communicate(timeout=60)

    assert late["queue"]["position"] == 1
    assert "memory on GPU 0" in late["queue"]["waits_for"]
    assert out == "went\n"
    assert "late is queued #1, waits for" in err


def test_ctrl_c_in_the_queue_leaves_nothing_behind(daemon: Daemon):
    with daemon.spawn("run", "-m", "100GiB", "--name", "big", "--", "sleep", "60") as first:
        daemon.until_state("big", "running")
        with daemon.spawn("run", "-m", "100GiB", "--name", "late", "--", "true") as second:
            daemon.until_state("late", "queued")
            second.send_signal(signal.SIGINT)

            assert second.wait(120) == 130
        assert daemon.share("late") is None
        first.kill()


def test_a_queue_that_takes_too_long_ends_with_124(daemon: Daemon):
    with daemon.spawn("run", "-m", "100GiB", "--name", "big", "--", "sleep", "60") as first:
        daemon.until_state("big", "running")

        done = daemon.gpushare("run", "-m", "100GiB", "--timeout", "1s", "--", "true")
        first.kill()

    assert done.returncode == 124
    assert "code: GS1801" in done.stderr
    daemon.until_empty()


def test_a_dry_run_explains_and_takes_nothing(daemon: Daemon):
    done = daemon.gpushare("run", "-m", "8GiB", "-c", "40", "--dry-run")

    assert done.returncode == 0
    assert "mps+guard" in done.stdout
    assert "not protected" in done.stdout
    assert daemon.json("ps", "-a")["items"] == []


def test_explain_leaves_stdout_to_the_program(daemon: Daemon):
    done = daemon.gpushare("run", "-m", "8GiB", "--explain", "--", "echo", "mine")

    assert done.stdout == "mine\n"
    assert "not protected" in done.stderr


def test_a_detached_program_goes_on_and_its_output_can_be_read(daemon: Daemon):
    home = {"XDG_STATE_HOME": str(daemon.folder)}
    done = daemon.gpushare(
        "run",
        "-d",
        "-m",
        "1GiB",
        "--name",
        "bg",
        "--",
        "sh",
        "-c",
        "echo began; sleep 60",
        env=home,
    )

    assert (done.returncode, done.stdout) == (0, "bg\n")
    until(lambda: "began" in daemon.gpushare("logs", "bg", env=home).stdout, "the log")
    assert daemon.gpushare("rm", "-f", "bg").returncode == 0
    daemon.until_empty()


def test_a_detached_run_that_fails_says_so_where_it_was_started(daemon: Daemon):
    done = daemon.gpushare("run", "-d", "-m", "900GiB", "--", "true")

    assert done.returncode == 2
    assert "code: GS1701" in done.stderr


def test_no_command_is_a_usage_error(daemon: Daemon):
    done = daemon.gpushare("run", "-m", "1GiB")

    assert done.returncode == 2
    assert "no COMMAND" in done.stderr


def test_an_error_is_json_too_where_json_was_asked_for(daemon: Daemon):
    done = daemon.gpushare("show", "nobody", "-o", "json")  # prose: allow

    assert done.returncode == 4
    assert json.loads(done.stderr)["error"]["code"] == "GS1201"


def test_without_a_daemon_the_hint_starts_one(machine):
    env = {"GPUSHARE_SOCKET": "/tmp/gpushare-no-such.sock"}
    done = machine.run(
        sys.executable, "-m", "gpushare.cli", "run", "-m", "1GiB", "--", "true", env=env
    )

    assert done.returncode == 6
    assert "hint: " in done.stderr
    assert "gpushare daemon" in done.stderr


def test_killed_before_exec_the_share_goes(daemon: Daemon):
    with daemon.spawn("run", "-m", "100GiB", "--name", "big", "--", "sleep", "60") as first:
        daemon.until_state("big", "running")
        with daemon.spawn("run", "-m", "100GiB", "--name", "late", "--", "true") as second:
            daemon.until_state("late", "queued")
            os.kill(second.pid, signal.SIGKILL)
        until(lambda: daemon.share("late") is None, "the queue to forget it")
        first.kill()


def test_a_child_that_outlives_its_parent_keeps_the_share(daemon: Daemon):
    daemon.gpushare(
        "run", "-m", "1GiB", "--name", "kin", "--", "sh", "-c", "sleep 60 >&- 2>&- <&- &"
    )
    [child] = until(lambda: (daemon.share("kin") or {}).get("pids"), "the child to be found")
    os.kill(child, signal.SIGKILL)
    daemon.until_empty()


def test_piping_into_head_is_quiet(daemon: Daemon):
    command = f"{sys.executable} -m gpushare.cli gpus -o json | head -c 1"
    done = subprocess.run(
        ["sh", "-c", command], env=daemon.environment, capture_output=True, text=True, check=False
    )

    assert done.stdout == "{"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "without -m the share takes a whole GPU;"),
        (("--turns",), "without -m the share takes a whole GPU during its turn;"),
        (("-c", "50"), "without -m the share takes a whole GPU;"),
        (("-m", "1GiB"), ""),
        (("-m", "10%"), ""),
        (("--json",), ""),
        (("--quiet",), ""),
        (("-o", "name"), ""),
    ],
)
def test_a_share_without_a_memory_limit_says_that_it_takes_the_whole_gpu(
    daemon: Daemon, options, line
):
    done = daemon.gpushare("run", *options, "--", "true")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("whole GPU") == bool(line)
    assert line in done.stderr
    assert "whole GPU" not in done.stdout


def test_what_it_takes_is_stated_before_it_waits(daemon: Daemon):
    daemon.gpushare("create", "-m", "1GiB", "--name", "there")
    done = daemon.gpushare("run", "--timeout", "1s", "--", "true")
    assert done.returncode == 124
    first, second, *_ = done.stderr.splitlines()
    assert "takes a whole GPU" in first
    assert "is queued" in second


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_several_whole_gpus_are_counted(daemon: Daemon):
    done = daemon.gpushare("run", "-n", "2", "--", "true")
    assert "takes 2 whole GPUs" in done.stderr


def test_a_program_in_the_background_takes_a_whole_gpu_too(daemon: Daemon):
    done = daemon.gpushare("run", "--detach", "--", "true")
    assert "takes a whole GPU" in done.stderr
    assert "whole" not in done.stdout
