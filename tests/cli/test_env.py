# SPDX-License-Identifier: Apache-2.0
"""`gpushare env` prints; a shell enters by evaluating what it prints."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from support.daemon import Daemon

GPUSHARE = f"{sys.executable} -m gpushare.cli"


@pytest.fixture
def held(daemon: Daemon) -> Daemon:
    daemon.gpushare("create", "-m", "2GiB", "--name", "held")
    return daemon


def shell(held: Daemon, script: str, program: str = "sh") -> subprocess.CompletedProcess[str]:
    env = {**held.environment, "GS": GPUSHARE}
    words = [program, "-c", script]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_printing_puts_no_process_into_the_share(held: Daemon):
    """Neither the shell that reads the output, nor a service manager that only starts it."""
    done = shell(held, "$GS env held > /dev/null; $GS show held -o json")
    assert '"state": "granted"' in done.stdout
    assert held.json("show", "held")["pids"] == []
    assert held.gpushare("rm", "held").returncode == 0


@pytest.mark.parametrize("program", ["sh", "bash", "dash", "zsh"])
@pytest.mark.parametrize("quoted", ['"$($GS env held)"', "$($GS env held)"])
def test_a_shell_enters_when_it_evaluates_the_words(held: Daemon, program: str, quoted: str):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program == "zsh":
        quoted = quoted.replace("$GS", "${=GS}")
    script = f"eval {quoted} && echo $$ $GPUSHARE_SHARE && ${{GS% -m*}} -m gpushare.cli ps -o jsonl"
    done = shell(held, script, program)
    first, listed = done.stdout.splitlines()
    pid, share = first.split()
    assert share == held.json("show", "held")["id"]
    assert int(pid) in json.loads(listed)["pids"]


def test_fish_enters_when_it_evaluates_the_words(held: Daemon):
    words = held.gpushare("env", "held", "--shell", "fish").stdout.splitlines()
    assert words[0].startswith("if ")
    assert words[0].endswith("--pid $fish_pid")
    assert words[-1] == "end"


def test_a_shell_that_may_not_enter_stays_as_it_is(held: Daemon):
    script = 'W="$($GS env held)"; $GS rm held; eval "$W"; echo $? "${GPUSHARE_SHARE-unset}"'
    done = shell(held, script)
    assert done.stdout.splitlines()[-1] == "1 unset"
    assert "code: GS1703" in done.stderr


def test_a_shell_that_has_entered_ends_the_share_and_goes_on(held: Daemon):
    """The command that ends a share spares what runs it, and says so."""
    script = 'eval "$($GS env held)"; sleep 60 & $GS rm -f held; wait $!; echo $? goes on'
    done = shell(held, script)
    assert done.stdout.splitlines()[-1] == "143 goes on"
    assert "it runs this command" in done.stderr
    assert held.shares() == []


@pytest.mark.parametrize("pid", ["1", "daemon", "parent of the daemon"])
def test_what_others_need_is_refused(held: Daemon, pid: str):
    assert held.process is not None
    pids = {"daemon": held.process.pid, "parent of the daemon": os.getpid()}
    done = held.gpushare("enter", "held", "--pid", str(pids.get(pid, pid)))
    assert done.returncode == 5
    assert "GS130" in done.stderr
    assert held.json("show", "held")["pids"] == []


IN_A_NAMESPACE = """
$GS daemon > /dev/null 2>&1 &
daemon=$!
for _ in $(seq 300); do $GS ps > /dev/null 2>&1 && break; sleep 0.1; done
sleep 300 & bystander=$!
$GS create -m 1GiB --name nb
$GS env nb > words
$GS enter nb --pid 1 || echo "refused $?"
$GS update nb --ttl 1s
$GS wait nb --timeout 60s
$GS create -m 1GiB --name again > /dev/null && kill -0 $bystander && echo "all live"
kill $bystander $daemon; wait
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a pid namespace")
def test_the_end_of_a_share_does_not_end_the_machine(unstarted: Daemon):
    """A service manager starts `gpushare env` as a child of process 1, as ExecStartPre= does."""
    words = ["unshare", "-p", "-f", "--mount-proc", "sh", "-c", IN_A_NAMESPACE]
    env = {**unstarted.environment, "GS": GPUSHARE}
    done = subprocess.run(
        words, env=env, cwd=unstarted.folder, capture_output=True, text=True, check=False,
        timeout=180,
    )  # fmt: skip
    assert "refused 5" in done.stdout, done.stderr
    assert "all live" in done.stdout, done.stderr
