# SPDX-License-Identifier: Apache-2.0
"""Programs that replace the probe; the probe itself is tried in tests/contract."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from gpushare.hardware.linux.cgroups import FsCgroups
from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.ports import ProbeRun
from gpushare.hardware.probe import ProbeRunner

Start = Callable[..., ProbeRun]
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def run(tmp_path: Path) -> Start:
    def start(script: str, *args: str, cgroup: str | None = None, patience: float = 20) -> ProbeRun:
        program = tmp_path / "probe"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        runner = ProbeRunner(FsCgroups(), lambda: program, patience)
        return runner.run(args, {**ENV, "MARK": "x y"}, os.getuid(), os.getgid(), cgroup)

    return start


def test_the_report_is_what_it_prints(run: Start) -> None:
    assert run('echo "$MARK $1"', "--fill") == ProbeRun(report=b"x y --fill\n")


def test_only_the_given_environment_is_there(run: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUSHARE_REGION", "/of/another/user")
    assert run('echo "[$GPUSHARE_REGION]"').report == b"[]\n"


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("echo bad >&2; exit 7", "exit code 7: bad"),
        ("kill -SEGV $$", "signal SIGSEGV: it printed no reason"),
    ],
)
def test_a_failed_probe_says_how(run: Start, script: str, how: str) -> None:
    assert run(script).failure == f"the probe ended with {how}"


def test_a_probe_that_hangs_is_ended_with_its_children(
    run: Start, tmp_path: Path, until: Callable[..., object]
) -> None:
    done = run(f"sleep 60 & echo $! > {tmp_path}/child; wait", patience=0.5)
    assert done.failure == "the probe did not end within 0.5 s"
    child = int((tmp_path / "child").read_text())
    until(lambda: ProcProcesses().find(child) is None, "the child to end")


def test_no_control_group_no_probe(run: Start) -> None:
    done = run("echo ran", cgroup="there-is-no-such-group")
    assert done.report == b""
    assert "cannot put the probe into the control group" in done.failure


def test_it_starts_inside_the_control_group(run: Start) -> None:
    cgroups = FsCgroups()
    if reason := cgroups.reason():
        pytest.skip(f"no control groups for us here: {reason}")
    name = f"test-{uuid4().hex[:12]}"
    cgroups.create(name)
    try:
        assert f"/{name}" in run("cat /proc/self/cgroup", cgroup=name).report.decode()
    finally:
        cgroups.remove(name)


def test_root_becomes_the_user_of_the_share(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    runner = ProbeRunner(FsCgroups(), lambda: Path("/usr/bin/id"))
    report = runner.run([], ENV, 65534, 65534, None).report.decode()
    assert "uid=65534" in report
    assert "groups=65534" in report


def test_a_probe_that_holds_ends_with_the_block_and_its_processes_are_known(
    tmp_path: Path,
) -> None:
    program = tmp_path / "probe"
    program.write_text("#!/bin/sh\nsleep 60 &\necho $$ $!\ncat\nkill $!\n")
    program.chmod(0o755)
    runner = ProbeRunner(FsCgroups(), lambda: program, 20)
    with runner.hold((), ENV, os.getuid(), os.getgid(), None) as held:
        own, child = map(int, held.report.split())
        assert runner.owns(own)
        assert runner.owns(child), "what a probe starts is a probe"
        assert not runner.owns(os.getpid())
    assert ProcProcesses().find(own) is None
    assert not runner.owns(own)


def test_a_probe_that_cannot_start_holds_nothing(tmp_path: Path) -> None:
    runner = ProbeRunner(FsCgroups(), lambda: tmp_path / "none", 20)
    with runner.hold((), ENV, os.getuid(), os.getgid(), None) as held:
        assert (held.report, bool(held.failure)) == (b"", True)
