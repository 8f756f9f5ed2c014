# SPDX-License-Identifier: Apache-2.0
"""Runs gpushare-probe the way a share's own programs are started."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpushare.guard import native_root
from gpushare.model.errors import GuardMissingError

from .linux.signals import kill_group
from .ports import Cgroups, ProbeRun

# The shell waits for a word before it becomes the probe, so that its very first look at CUDA
# happens inside the control group.
_GATE = ("/bin/sh", "-c", 'read -r _ && exec "$@"', "sh")
_GRACE = 5.0  # seconds; a process stuck in the driver may not even die


class ProbeRunner:
    """Implements the Probe port. `program` finds the probe; `patience`: seconds it may take."""

    def __init__(
        self, cgroups: Cgroups, program: Callable[[], Path], patience: float = 60.0
    ) -> None:
        self._cgroups, self._program, self._patience = cgroups, program, patience
        self._sessions: set[int] = set()

    def owns(self, pid: int) -> bool:
        """Whether it is a probe that runs now, or was started by one.

        A probe is the leader of a session; no program of a tenant can join that.
        """
        try:
            return os.getsid(pid) in self._sessions
        except ProcessLookupError:
            return False

    def run(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> ProbeRun:
        process = self._start(args, env, uid, gid, cgroup)
        return process if isinstance(process, ProbeRun) else self._end_of(process)

    @contextlib.contextmanager
    def hold(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> Iterator[ProbeRun]:
        process = self._start(("--hold", *args), env, uid, gid, cgroup)
        if isinstance(process, ProbeRun):
            yield process
            return
        try:
            yield self._first_line(process)
        finally:
            self._end_of(process, b"")

    def _start(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> "subprocess.Popen[bytes] | ProbeRun":
        program = self._program()
        try:
            process = subprocess.Popen(
                [*_GATE, program, *args],
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                **_identity(uid, gid),
            )
        except OSError as error:
            return ProbeRun(failure=f"cannot start the probe: {error}")
        self._sessions.add(process.pid)
        if cgroup and not self._cgroups.add(cgroup, process.pid):
            _end(process)
            self._sessions.discard(process.pid)
            return ProbeRun(failure=f"cannot put the probe into the control group {cgroup}")
        return process

    def _end_of(self, process: "subprocess.Popen[bytes]", word: bytes = b"\n") -> ProbeRun:
        try:
            return self._finish(process, word)
        finally:
            self._sessions.discard(process.pid)

    def _first_line(self, process: "subprocess.Popen[bytes]") -> ProbeRun:
        """The report of a probe that goes on; its own timeout bounds the wait."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"\n")
            process.stdin.flush()
        report = process.stdout.readline()
        return ProbeRun(report=report, failure="" if report else "the probe printed nothing")

    def _finish(self, process: "subprocess.Popen[bytes]", word: bytes) -> ProbeRun:
        """`word` lets the shell become the probe."""
        try:
            report, errors = process.communicate(word, timeout=self._patience)
        except subprocess.TimeoutExpired:
            _end(process)
            return ProbeRun(failure=f"the probe did not end within {self._patience:g} s")
        if process.returncode == 0:
            return ProbeRun(report=report)
        because = errors.decode(errors="replace").strip() or "it printed no reason"
        return ProbeRun(report=report, failure=f"the probe ended with {_how(process)}: {because}")


def probe_program() -> Path:
    """Raises GuardMissingError."""
    program = native_root() / "probe" / "gpushare-probe"
    if not program.is_file():
        raise GuardMissingError("the probe is missing", f"{program} does not exist", "make native")
    return program


def _identity(uid: int, gid: int) -> dict[str, Any]:
    """Only root may change the user."""
    if os.geteuid() != 0 or uid == 0:
        return {}
    # Without the daemon's own groups, which may open more than the user's.
    return {"user": uid, "group": gid, "extra_groups": []}


def _end(process: subprocess.Popen[bytes]) -> None:
    kill_group(process.pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_GRACE)


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
