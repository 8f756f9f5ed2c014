# SPDX-License-Identifier: Apache-2.0
"""Backup and restore through the command line, with a real daemon on a simulated machine."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest


@pytest.fixture
def file(tmp_path):
    return tmp_path / "backup.zip"


def test_a_restore_brings_back_what_was_backed_up_and_says_so(daemon, file):
    daemon.gpushare("tenant", "set", "lab", "--weight", "3")
    daemon.gpushare("create", "-m", "2GiB", "--name", "held")
    made = daemon.gpushare("backup", file)
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    daemon.gpushare("tenant", "set", "lab", "--weight", "5")
    daemon.gpushare("rm", "held")
    refused = daemon.gpushare("restore", file)
    assert "GS1402" in refused.stderr
    daemon.stop()
    done = daemon.gpushare("restore", file)
    assert done.returncode == 0, done.stderr
    daemon.start()
    assert [share["name"] for share in daemon.shares()] == ["held"]
    policy = json.loads(daemon.gpushare("export", "-o", "json").stdout)
    assert policy["tenant"]["lab"]["weight"] == 3
    found = daemon.json("audit", "ls", "--action", "state.restored")["items"]
    assert len(found) == 1
    assert str(file) in found[0]["detail"]["message"]
    assert daemon.gpushare("audit", "verify").returncode == 0


FOLLOWS = """
from gpushare import Client
for event in Client().events():
    print(event.seq, event.type, flush=True)
"""


def test_who_follows_events_over_a_restore_gets_each_once(daemon, file):
    daemon.gpushare("backup", file)
    daemon.gpushare("create", "-m", "2GiB", "--name", "held")
    program = (sys.executable, "-c", FOLLOWS)
    with daemon.machine.start(*program, env=daemon.environment) as follower:
        lines = read_until(follower, "share.granted")
        daemon.stop()
        assert daemon.gpushare("restore", file).returncode == 0
        daemon.start()
        lines += read_until(follower, "state.restored")
        follower.kill()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == sorted(set(numbers))


def read_until(follower, event):
    lines = [""]
    while event not in lines[-1]:
        lines.append(follower.stdout.readline())
        assert lines[-1], "the follower has ended"
    return lines[1:]


def test_a_backup_replaces_a_file_only_when_told_to(daemon, file):
    file.write_text("mine")
    refused = daemon.gpushare("backup", file)
    assert refused.returncode == 2
    assert file.read_text() == "mine"
    assert daemon.gpushare("backup", "--force", file).returncode == 0
    assert file.read_bytes()[:2] == b"PK"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_no_backup_is_named(daemon, file):
    file.write_text("hello")
    daemon.stop()
    refused = daemon.gpushare("restore", file)
    assert refused.returncode == 1
    assert "GS1606" in refused.stderr
    assert str(file) in refused.stderr
    missing = daemon.gpushare("restore", file.with_name("none"))
    assert missing.returncode == 4


KILLED = """
import os, pathlib, signal, sys
from gpushare.cli import main
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{patch} = kill
main()
"""


@pytest.mark.parametrize("patch", ["os.fsync", "pathlib.Path.hardlink_to", "pathlib.Path.unlink"])
def test_a_backup_that_is_killed_leaves_a_whole_file_or_none(daemon, file, patch):
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(patch=patch), "backup", str(file)],
        env={**os.environ, **daemon.environment},
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert file.exists() is (patch == "pathlib.Path.unlink")
    again = daemon.gpushare("backup", "--force", file)
    assert again.returncode == 0, again.stderr
    assert daemon.gpushare("restore", "--dry-run", file).returncode == 0


def test_backups_under_load_are_whole_and_change_nothing(daemon, file):
    stop, failed = threading.Event(), []

    def churn(number):
        name = f"load-{number}"
        while not stop.is_set():
            for words in (
                ("create", "-m", "1GiB", "--name", name),
                *[("tenant", "set", name, "--weight", "2")] * (number == 0),
                ("rm", name),
            ):
                done = daemon.gpushare(*words)
                if done.returncode:
                    failed.append(done.stderr)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            made = daemon.gpushare("backup", "--force", file)
            assert made.returncode == 0, made.stderr
            checked = daemon.json("restore", "--dry-run", str(file))
            assert checked["dry_run"] is True
            assert checked["manifest"]["audit"]["seq"] > 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    daemon.kill()
    assert daemon.gpushare("restore", file).returncode == 0
    daemon.start()
    assert "state.lost" not in daemon.log.read_text()
