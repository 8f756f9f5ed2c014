# SPDX-License-Identifier: Apache-2.0
"""Real programs under a real daemon: their launches are counted, and make profiles."""

import http.client
import json
import socket
import subprocess
import sys
from typing import Any

import pytest

from support.daemon import Daemon, until
from support.mechanics import PROGRAM
from support.program import training

OUT_OF_MEMORY = 2


class Unix(http.client.HTTPConnection):
    def __init__(self, daemon: Daemon) -> None:
        super().__init__("gpushare", timeout=120)
        self._path = str(daemon.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def profiles(daemon: Daemon) -> Any:
    connection = Unix(daemon)
    try:
        connection.request("GET", "/v1/profiles")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.fixture
def quick(machine, short_path):
    """A daemon whose passes are short."""
    found = Daemon(machine, short_path)
    found.start("--reconcile-interval", "0.2")
    yield found
    found.stop()


def pairs(daemon: Daemon) -> dict[tuple[str, str], float]:
    return {
        (p["program"], p["beside"]): p["work"]  # prose: allow
        for p in profiles(daemon)["items"]
    }


def test_a_program_that_was_refused_memory_finds_some_later(quick):
    rules = quick.folder / "rules.toml"
    rules.write_text('apiVersion = "v1"\n[sizing]\ngrow = true\n')
    done = quick.gpushare("apply", "-f", rules)
    assert done.returncode == 0, done.stderr
    words = ("run", "--name", "job", "-m", "2GiB", "--", sys.executable, PROGRAM)
    program = quick.spawn(*words, stdin=subprocess.PIPE)
    with program:
        assert program.stdout.readline() == '{"result": 0}\n'
        first = say(program, "take 4096")
        assert (first["result"], first["held"] < 2 << 30) == (OUT_OF_MEMORY, True)
        until(lambda: quick.json("show", "job")["asked"], "its limit to grow")
        second = say(program, "take 4096")
        assert second["held"] > first["held"]
        program.kill()
    shown = quick.json("ps", "-a")["items"][0]
    assert shown["asked"]["memory"]["limit"] == 2 << 30


def say(program, line: str) -> Any:
    program.stdin.write(f"{line}\n")
    program.stdin.flush()
    return json.loads(program.stdout.readline())


def test_programs_make_profiles_alone_and_next_to_each_other(quick):
    with training(quick, "--name", "one", "-m", "4GiB"):
        until(lambda: ("train.py", "") in pairs(quick), "it to be seen alone")
        with training(quick, "--name", "two", "-m", "4GiB"):
            until(lambda: ("train.py", "train.py") in pairs(quick), "both to be seen")
        assert all(work > 0 for work in pairs(quick).values())
    until(lambda: profiles(quick)["runs"], "their ends to be noticed")
    (runs,) = [one for one in profiles(quick)["runs"] if one["program"] == "train.py"]
    assert runs["peak"] >= 2 << 30
