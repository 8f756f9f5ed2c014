# SPDX-License-Identifier: Apache-2.0
"""Shares on a machine, and programs inside them, without a daemon in between."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gpushare.delivery.host import environment
from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.mps.daemons import MpsDaemons
from gpushare.model.edits import Edits
from gpushare.model.gpu import Machine as Snapshot
from gpushare.model.share import Share

from .machine import Machine

PROGRAM = Path(__file__).with_name("cuda_program.py")
ACT = """
import sys, msgspec
from pathlib import Path
from gpushare.hardware.host import Host
from gpushare.mechanisms import load
from gpushare.model.share import Share
host = Host.open(Path(sys.argv[1]))
mechanisms = load(host, Path(sys.argv[1]), context=lambda gpu: 0)
share = msgspec.json.decode(sys.argv[3], type=Share) if sys.argv[3] else None
verb = sys.argv[2]
def machine():
    return host.machine(capabilities=mechanisms.capabilities)
act = machine if verb == "machine" else getattr(mechanisms, verb)
value = act(share) if share else act()
print(msgspec.json.encode(value).decode())
"""


class World:
    """Acts on the machine in processes that see it; `folder` is the runtime folder."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.mps = MpsDaemons(folder / "mps", ProcProcesses(), machine.environment)

    def snapshot(self) -> Snapshot:
        return msgspec.json.decode(self._text("machine"), type=Snapshot)

    def prepare(self, share: Share) -> Edits:
        return msgspec.json.decode(self._text("prepare", share), type=Edits)

    def observe(self, share: Share) -> Any:
        return self.act("observe", share)

    def release(self, share: Share) -> None:
        self._text("release", share)

    def act(self, verb: str, share: Share | None = None) -> Any:
        """Any act of Mechanisms, by name, in a process of its own; what it returned as JSON."""
        return json.loads(self._text(verb, share))

    @contextmanager
    def granted(self, share: Share) -> Iterator[Edits]:
        try:
            yield self.prepare(share)
        finally:
            self.release(share)

    @contextmanager
    def program(self, share: Share, edits: Edits) -> Iterator["Program"]:
        env = environment(edits, self.machine.environment)
        gate = ["/bin/sh", "-c", 'read -r _ && exec "$@"', "sh", sys.executable, str(PROGRAM)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(gate, env=env, **pipes) as process:  # type: ignore[call-overload]
            if edits.cgroup:
                assert FsCgroups().add(share.id, process.pid)
            try:
                yield Program(process)
            finally:
                process.kill()

    def _text(self, verb: str, share: Share | None = None) -> str:
        text = msgspec.json.encode(share).decode() if share else ""
        done = self.machine.python(ACT, str(self.folder), verb, text)
        assert done.returncode == 0, done.stderr
        return done.stdout


class Program:
    """A running `cuda_program.py`; `started` is what its start answered."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self.started = self._say("go")["result"]

    def look(self) -> Any:
        return self._say("look")

    def take(self, mib: int) -> Any:
        return self._say(f"take {mib}")

    def touch(self) -> int:
        return self._say("touch")["result"]

    def kill(self) -> None:
        os.kill(self.pid, 9)
        self._process.wait()

    def _say(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())
