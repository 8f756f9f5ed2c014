# SPDX-License-Identifier: Apache-2.0
"""How the programs of shares ended, and their last output, as users see it afterwards."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from support.daemon import Daemon, until
from support.machine import Machine

KILLED = 128 + signal.SIGKILL


def home(daemon: Daemon) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(daemon.folder / "home")}


def run(daemon: Daemon, name: str, script: str, *options: str) -> None:
    words = ("run", *options, "-m", "1GiB", "--name", name, "--", "sh", "-c", script)
    daemon.gpushare(*words, env=home(daemon))


def ended(daemon: Daemon, name: str) -> dict[str, object]:
    """Its view once how it ended is known."""

    def known() -> dict[str, object] | None:
        view: dict[str, object] = daemon.json("wait", name)
        end = view["end"]
        return view if isinstance(end, dict) and end["code"] is not None else None

    found: dict[str, object] = until(known, f"the end of {name}")
    return found


@pytest.mark.parametrize("options", [(), ("-d",)], ids=["foreground", "detached"])
@pytest.mark.parametrize(
    ("script", "code", "killed_by"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("exit 255", 255, None),
        ("kill -KILL $$", KILLED, 9),
    ],
)
def test_the_exit_code_is_kept(
    daemon: Daemon, options: tuple[str, ...], script: str, code: int, killed_by: int | None
) -> None:
    run(daemon, "job", script, *options)

    end = ended(daemon, "job")["end"]

    assert isinstance(end, dict)
    assert (end["code"], end["signal"]) == (code, killed_by)
    assert end["seconds"] >= 0
    shown = f"exited ({code}"
    assert shown in daemon.gpushare("wait", "job").stdout
    assert shown in daemon.gpushare("ps", "-a").stdout
    assert shown in daemon.gpushare("show", "job").stdout


def test_the_end_of_the_share_and_its_peak_are_kept(daemon: Daemon) -> None:
    run(daemon, "job", "exit 1")

    view = ended(daemon, "job")

    assert str(view["ended"]) >= str(view["started"])
    assert daemon.json("show", "job")["memory"]["peak"] is not None
    assert view["output"] is None


def test_what_the_probe_used_is_no_peak_of_the_share(daemon: Daemon) -> None:
    """The first share of a daemon is probed before its program starts; this one uses no GPU."""
    run(daemon, "job", "exit 0")
    ended(daemon, "job")

    assert daemon.json("show", "job")["memory"]["peak"] == 0


def test_the_last_output_of_a_detached_program_is_kept(daemon: Daemon) -> None:
    run(daemon, "job", "echo out; echo err >&2; exit 4", "-d")

    view = ended(daemon, "job")
    until(lambda: daemon.json("show", "job")["output"] == "out\nerr\n", "the output")
    Path(str(view["log"])).unlink()

    shown = daemon.gpushare("logs", "job")
    assert (shown.returncode, shown.stdout) == (0, "out\nerr\n")
    assert "as the daemon keeps them" in shown.stderr
    assert "output         err" in daemon.gpushare("show", "job").stdout
    assert all(item["output"] is None for item in daemon.json("ps", "-a")["items"])


def test_a_detached_program_that_ends_while_the_daemon_is_down_is_not_forgotten(
    daemon: Daemon,
) -> None:
    stop = daemon.folder / "stop"
    run(daemon, "job", f"while [ ! -e {stop} ]; do sleep 0.05; done; echo last; exit 5", "-d")
    [pid] = daemon.until_state("job", "running")["pids"][:1]
    daemon.kill()
    stop.touch()
    until(lambda: not Path(f"/proc/{pid}").exists(), "the program to end")
    daemon.start()

    end = ended(daemon, "job")["end"]

    assert isinstance(end, dict)
    assert end["code"] == 5
    assert daemon.json("show", "job")["output"] == "last\n"


def test_what_was_kept_survives_the_daemon(daemon: Daemon) -> None:
    run(daemon, "job", "echo here; exit 6", "-d")
    ended(daemon, "job")
    until(lambda: daemon.json("show", "job")["output"], "the output")
    daemon.kill()
    daemon.start()

    view = daemon.json("show", "job")
    assert (view["end"]["code"], view["output"]) == (6, "here\n")


def test_a_foreground_program_that_ends_while_the_daemon_is_down_has_no_code(
    daemon: Daemon,
) -> None:
    words = ("run", "-m", "1GiB", "--name", "job", "--", "sleep", "60")
    with daemon.spawn(*words) as process:
        daemon.until_state("job", "running")
        daemon.kill()
        process.kill()
        process.wait(120)
    daemon.start()

    end = daemon.json("wait", "job")["end"]
    assert end["code"] is None
    assert "the daemon was not running" in end["because"]
    assert "exited (code not known)" in daemon.gpushare("wait", "job").stdout


def test_a_killed_supervisor_takes_neither_the_program_nor_its_code(daemon: Daemon) -> None:
    stop = daemon.folder / "stop"
    run(daemon, "job", f"while [ ! -e {stop} ]; do sleep 0.05; done; exit 7", "-d")
    [pid] = daemon.until_state("job", "running")["pids"][:1]
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    stop.touch()

    end = ended(daemon, "job")["end"]
    assert isinstance(end, dict)
    assert end["code"] == 7


def test_signals_to_the_programs_group_do_not_reach_its_supervisor(daemon: Daemon) -> None:
    run(daemon, "job", "kill -TERM 0; sleep 60", "-d")

    end = ended(daemon, "job")["end"]
    assert isinstance(end, dict)
    assert end["signal"] == signal.SIGTERM


def test_rm_forgets_a_share_that_has_ended(daemon: Daemon) -> None:
    run(daemon, "job", "echo x", "-d")
    log = Path(str(ended(daemon, "job")["log"]))
    until(lambda: daemon.json("show", "job")["output"], "the output")

    assert daemon.gpushare("rm", "job", env=home(daemon)).stdout == "job\n"

    assert daemon.gpushare("show", "job").returncode == 4
    assert daemon.gpushare("rm", "job").returncode == 4
    assert not log.exists()


def test_nothing_is_remembered_with_rm(daemon: Daemon) -> None:
    run(daemon, "job", "echo x; exit 3", "-d", "--rm")
    run(daemon, "other", "exit 3", "--rm")

    until(lambda: not daemon.json("ps", "-a")["items"], "both to be forgotten")
    until(lambda: not list((daemon.folder / "home/gpushare/logs").iterdir()), "the log to go")


def test_an_exec_that_fails_in_the_background_has_its_code(daemon: Daemon) -> None:
    script = daemon.folder / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    daemon.gpushare("run", "-d", "-m", "1GiB", "--name", "job", "--", script, env=home(daemon))

    def code() -> bool:
        end = daemon.json("show", "job")["end"]
        return end is not None and end["code"] == 127

    until(code, "the code of a program without its interpreter")


def test_bounds_hold_for_records_and_output(machine: Machine, tmp_path: Path) -> None:
    bounds = {"GPUSHARE_ENDED_KEEP_USER": "2", "GPUSHARE_OUTPUT_KEEP": "8"}
    bounded = replace(machine, environment={**machine.environment, **bounds})
    daemon = Daemon(bounded, tmp_path)
    daemon.start()
    try:
        for number in range(4):
            run(daemon, f"job{number}", f"echo long line; echo {number}", "-d")
            ended(daemon, f"job{number}")
        until(lambda: len(daemon.json("ps", "-a")["items"]) == 2, "the oldest to be forgotten")
        until(lambda: daemon.json("show", "job3")["output"] == "3\n", "the end of its output")
        assert len(list((daemon.folder / "home/gpushare/logs").iterdir())) <= 3
    finally:
        daemon.stop()


@pytest.mark.parametrize("days", ["-1", "3651"])
def test_a_bound_beyond_reason_is_refused(daemon: Daemon, days: str) -> None:
    done = daemon.gpushare("config", "show", env={"GPUSHARE_ENDED_DAYS": days})

    assert done.returncode == 2
    assert "GS1103" in done.stderr


def test_the_audit_log_has_the_report_and_not_the_output(daemon: Daemon) -> None:
    run(daemon, "job", "echo a-secret-word", "-d")
    until(lambda: daemon.json("show", "job")["output"], "the output")

    records = daemon.gpushare("audit", "ls", "-o", "json").stdout

    assert "program-ended" in records
    assert "a-secret-word" not in records
    assert json.loads(records)
