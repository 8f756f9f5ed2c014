# SPDX-License-Identifier: Apache-2.0
"""Real daemons on a simulated machine: killed, refused, started again; programs are real too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import START_SECONDS, Daemon, until
from support.program import training

from .test_crash import GRANTS

# A daemon that kills itself when it passes the step named by its last argument.
SUICIDE = """
import os, sys
from pathlib import Path
from gpushare.daemon.app import serve
from gpushare.config.settings import Settings

def step(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), 9)

names = ("socket", "state_dir", "runtime_dir")
serve(Settings(**{n: Path(os.environ[f"GPUSHARE_{n.upper()}"]) for n in names}), step)
"""
SLEEP = (sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()")
FAMILY = """
import os, sys
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""


@contextmanager
def running(daemon: Daemon, *options: str, program: tuple[str, ...] = SLEEP) -> Iterator:
    """`gpushare run OPTIONS -- program`, until it has written its first line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gpushare.cli", "run", *options, "--", *program],
        env=daemon.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def left_behind(daemon: Daemon) -> list[str]:
    """Regions, control groups and processes that this daemon's shares have on the machine."""
    regions = [str(path) for path in daemon.runtime.glob("regions/*")]
    mark = str(daemon.runtime).encode()
    processes = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/environ")
        if mark in _read(path) and b"mps" in _read(path.parent / "comm")
    ]
    groups = {share["id"] for share in daemon.json("ps", "-a")["items"]}
    # os.walk, unlike rglob, lets others remove their groups meanwhile
    folders = [path for path, _, _ in os.walk("/sys/fs/cgroup") if Path(path).name in groups]
    return regions + processes + folders


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def start_mortal(daemon: Daemon, step: str) -> subprocess.Popen:
    """Start a daemon that dies at `step`, and wait until it answers."""
    with (daemon.folder / "mortal.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SUICIDE, step], env=daemon.environment, stdout=log, stderr=log
        )
    until(lambda: daemon.gpushare("ps").returncode == 0 or process.poll() is not None, "a start")
    assert process.poll() is None, (daemon.folder / "mortal.log").read_text()
    return process


def test_programs_outlive_a_killed_daemon_and_are_found_again(daemon):
    with running(daemon, "--name", "job", "-m", "2GiB") as (program, _):
        daemon.kill()
        daemon.start()
        share = daemon.until_state("job", "running")
        assert share["pids"] == [program.pid]
        assert program.poll() is None
    daemon.until_empty()
    assert left_behind(daemon) == []


def test_a_daemon_that_is_asked_to_end_leaves_programs_alone(daemon):
    with running(daemon, "--name", "job", "-m", "2GiB") as (program, _):
        assert daemon.stop() == 0
        assert program.poll() is None
        assert not daemon.socket.exists()
        daemon.start()
        daemon.until_state("job", "running")


def test_a_program_that_ends_without_a_daemon_is_noticed_by_the_next(daemon):
    with running(daemon, "--name", "job", "-m", "2GiB", "-c", "40"):
        daemon.kill()
    daemon.start()
    daemon.until_empty()
    until(lambda: not left_behind(daemon), "everything to be cleaned up")


def test_a_killed_program_gives_its_share_back(daemon):
    with running(daemon, "--name", "job", "-m", "2GiB") as (program, _):
        daemon.until_state("job", "running")
        program.kill()
        daemon.until_empty()


def test_a_child_keeps_the_share_and_gives_it_back(daemon):
    family = (sys.executable, "-c", FAMILY)
    with running(daemon, "--name", "job", "-m", "2GiB", program=family) as (program, child):
        until(lambda: int(child) in daemon.share("job")["pids"], "the child to be seen")
        program.kill()
        program.wait()
        until(lambda: daemon.share("job")["pids"] == [int(child)], "the child to be alone")
        os.kill(int(child), signal.SIGKILL)
        daemon.until_empty()


def test_killing_one_child_leaves_the_share_to_the_others(daemon):
    family = (sys.executable, "-c", FAMILY)
    with running(daemon, "--name", "job", "-m", "2GiB", program=family) as (program, child):
        until(lambda: int(child) in daemon.share("job")["pids"], "the child to be seen")
        os.kill(int(child), signal.SIGKILL)
        until(lambda: daemon.share("job")["pids"] == [program.pid], "the program to be alone")
        assert daemon.share("job")["state"] == "running"


def test_a_run_killed_in_the_queue_leaves_it(daemon):
    with running(daemon, "--name", "first", "-m", "120GiB"):
        waiting = daemon.spawn("run", "--name", "second", "-m", "120GiB", "--", "true")
        daemon.until_state("second", "queued")
        waiting.kill()
        waiting.communicate()
        until(lambda: daemon.share("second") is None, "the queue to be empty")


@pytest.mark.parametrize("step", [step for step in GRANTS if step != "undo acted"])
def test_killed_at_each_step_nothing_is_left(step, unstarted):
    """The share has a region, a control group and an MPS daemon."""
    base = ("-m", "2GiB", "-c", "40")
    unstarted.state.mkdir()
    unstarted.runtime.mkdir(mode=0o700)
    mortal = start_mortal(unstarted, step)
    run = unstarted.spawn("run", "--name", "job", *base, "--", "true")
    mortal.wait(START_SECONDS)
    run.communicate(timeout=START_SECONDS)
    unstarted.start()
    unstarted.until_empty()
    until(lambda: not left_behind(unstarted), f"nothing to be left: {left_behind(unstarted)}")
    done = unstarted.gpushare("run", *base, "--", "true")
    assert done.returncode == 0, done.stderr
    unstarted.until_empty()
    unstarted.stop()


def test_a_second_daemon_on_the_same_state_is_refused(daemon):
    socket, runtime = daemon.folder / "other.sock", daemon.folder / "other"
    done = daemon.gpushare(
        "daemon",
        env={"GPUSHARE_SOCKET": str(socket), "GPUSHARE_RUNTIME_DIR": str(runtime)},
    )
    assert done.returncode == 6
    assert f"pid {daemon.process.pid}" in done.stderr
    assert "GS1402" in done.stderr
    assert daemon.gpushare("ps").returncode == 0


def test_a_second_daemon_on_the_same_socket_is_refused(daemon):
    done = daemon.gpushare("daemon", env={"GPUSHARE_STATE_DIR": str(daemon.folder / "other")})
    assert done.returncode == 6
    assert "GS1402" in done.stderr
    assert daemon.gpushare("ps").returncode == 0


def test_a_damaged_state_is_refused_kept_and_explained(daemon):
    daemon.stop()
    path = daemon.state / "state.db"
    path.write_bytes(b"this was a database" * 300)
    done = daemon.gpushare("daemon")
    assert done.returncode == 1
    assert "GS1601" in done.stderr
    assert f"mv {path} {path}.damaged" in done.stderr
    assert path.read_bytes() == b"this was a database" * 300
    path.rename(f"{path}.damaged")
    daemon.start()


def test_a_runtime_folder_that_others_can_write_is_refused(daemon):
    daemon.stop()
    daemon.runtime.chmod(0o777)
    done = daemon.gpushare("daemon")
    assert done.returncode == 5
    assert "chmod go-w" in done.stderr


def test_a_disk_that_fills_up_stops_changes_only(daemon):
    with running(daemon, "--name", "job", "-m", "2GiB"):
        size = (daemon.state / "state.db-wal").stat().st_size
        limit = ["prlimit", f"--pid={daemon.process.pid}", f"--fsize={size}:unlimited"]
        subprocess.run(limit, check=True)
        done = daemon.gpushare("run", "-m", "2GiB", "--", "true")
        assert done.returncode != 0
        assert "GS16" in done.stderr
        assert daemon.share("job")["state"] == "running"
        subprocess.run([*limit[:2], "--fsize=unlimited:unlimited"], check=True)
    daemon.until_empty()
    assert left_behind(daemon) == []


def test_without_a_driver_the_daemon_says_so(machine, unstarted):
    unstarted.machine = machine.__class__(
        "none", {k: v for k, v in machine.environment.items() if k != "GPUSHARE_SIM_MACHINE"}
    )
    unstarted.start()
    done = unstarted.gpushare("run", "-m", "2GiB", "--", "true")
    assert done.returncode == 7
    assert "GS15" in done.stderr
    assert unstarted.stop() == 0


def test_a_driver_of_two_versions_is_reported(daemon, machine):
    with running(daemon, "--name", "job", "-m", "2GiB"):
        daemon.kill()
        machine.fault("driver_mismatch=1")
    command = [sys.executable, "-m", "gpushare.cli", "daemon"]
    with subprocess.Popen(command, env=daemon.environment, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            if b"daemon.ready" in line:
                break
        done = daemon.gpushare("run", "-m", "2GiB", "--", "true")
        assert done.returncode == 7
        assert "GS1502" in done.stderr
        machine.fault("driver_mismatch=0")
        until(lambda: not daemon.shares(), "the share to be released anyway")
        process.terminate()


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_a_gpu_that_is_lost_fails_its_share_and_no_other(daemon, machine):
    with (
        running(daemon, "--name", "one", "-m", "2GiB", "--gpu", "0"),
        running(daemon, "--name", "two", "-m", "2GiB", "--gpu", "1"),
    ):
        machine.fault("gpu=0", "lost=1")
        until(lambda: "lost" in daemon.share("one")["reason"], "the loss to be noticed")
        assert daemon.share("two")["reason"] == ""
    daemon.until_empty()
    ended = {s["name"]: s["state"] for s in daemon.json("ps", "-a")["items"]}
    assert ended == {"one": "failed", "two": "released"}


def test_the_log_is_json_for_machines(unstarted):
    unstarted.start("--log-format", "json")
    unstarted.gpushare("run", "-m", "2GiB", "--", "true")
    unstarted.until_empty()
    unstarted.stop()
    lines = [json.loads(line) for line in unstarted.log.read_text().splitlines()]
    granted = next(line for line in lines if line["event"] == "share.granted")
    assert granted["share"]


def test_a_fault_under_mps_fails_every_share_there_and_passes(daemon, machine):
    share = ("-m", "4GiB", "-c", "40")
    with (
        training(daemon, "--name", "one", *share) as one,
        training(daemon, "--name", "two", *share),
    ):
        machine.fault("gpu=0", f"pid={one.pid}", "xid=31")
        daemon.until_empty()
    ended = {s["name"]: (s["state"], s["reason"][:6]) for s in daemon.json("ps", "-a")["items"]}
    assert ended == {"one": ("failed", "Xid 31"), "two": ("failed", "Xid 31")}
    again = daemon.gpushare("run", *share, "--", "true")
    assert again.returncode == 0, again.stderr
