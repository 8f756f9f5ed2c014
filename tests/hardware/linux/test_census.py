# SPDX-License-Identifier: Apache-2.0
"""All processes in one look."""

import os
import subprocess
import sys

from gpushare.hardware.linux.census import Census
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.model.share import ProcessRef

PARENT = """
import subprocess, sys
code = "print('ready', flush=True); input()"
pipe = subprocess.PIPE
child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
child.stdout.readline()  # during exec it has no environment
print(child.pid, flush=True)
input()
"""


def test_a_family_is_a_process_and_all_below_it():
    processes = ProcProcesses()
    environment = {**os.environ, "GPUSHARE_SHARE": "feedfacecafe"}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as parent:
        child = processes.find(int(parent.stdout.readline()))
        root = processes.find(parent.pid)
        census = Census()
        assert census.family([root]) == {root, child}
        assert census.marked("GPUSHARE_SHARE", "feedfacecafe", os.getuid()) == {root, child}
        assert census.marked("GPUSHARE_SHARE", "feedfacecafe", os.getuid() + 1) == set()
        assert census.marked("GPUSHARE_SHARE", "feedface", os.getuid()) == set()
        parent.kill()
        parent.wait()
        assert root not in Census()
        assert Census().family([root]) == set()


def test_a_later_process_of_the_same_pid_is_another():
    myself = Census().find(os.getpid())
    assert myself in Census()
    assert ProcessRef(pid=myself.pid, started=myself.started + 1) not in Census()


def test_what_is_no_process_is_passed_over(tmp_path):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "17").mkdir()
    (tmp_path / "proc" / "18").mkdir()
    (tmp_path / "proc" / "18" / "stat").write_text("18 (x) S")
    assert Census(tmp_path).find(18) is None
