# SPDX-License-Identifier: Apache-2.0
"""MPS daemons of ours, started, lost, stuck and found again on a simulated machine."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.mps.control import FIRST_PAUSE, LONGEST_PAUSE
from gpushare.hardware.mps.daemons import BINARY, MpsDaemons
from gpushare.model.errors import MpsError, MpsStuckError
from gpushare.model.ids import GpuId
from gpushare.model.share import ProcessRef
from support.daemon import until
from support.machine import Machine

GPU = GpuId("GPU-51600000-0000-4000-8000-000000000001")


def daemons(machine: Machine, folder: Path, **options: object) -> MpsDaemons:
    return MpsDaemons(folder, ProcProcesses(), machine.environment, **options)  # type: ignore[arg-type]


@pytest.fixture
def mps(machine: Machine, short_path: Path) -> Iterator[MpsDaemons]:
    found = daemons(machine, short_path)
    yield found
    for gpu, holders in found.holders().items():
        for holder in (*holders, None):
            found.release(gpu, holder)


def daemon_of(folder: Path, gpu: GpuId = GPU) -> ProcessRef:
    record = msgspec.json.decode((folder / gpu / "daemon").read_bytes())
    return msgspec.convert(record["process"], ProcessRef)


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().strip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_first_holder_starts_it_and_the_last_stops_it(
    mps: MpsDaemons, short_path: Path
) -> None:
    place = mps.acquire((GPU,), "a")
    assert mps.acquire((GPU,), "b") == place
    assert mps.acquire((GPU,), "b") == place, "holding twice is holding once"
    assert mps.holders() == {(GPU,): ("a", "b")}
    assert mps.control((GPU,)).servers() == ()
    assert mps.control((GPU,)).clients() == ()
    daemon = daemon_of(short_path)
    mps.release((GPU,), "a")
    assert ProcProcesses().alive(daemon)
    mps.release((GPU,), "b")
    assert not ProcProcesses().alive(daemon)
    assert mps.holders() == {}
    mps.release((GPU,), "b")


def test_other_users_reach_its_pipes_and_read_nothing_else(
    mps: MpsDaemons, short_path: Path
) -> None:
    """Whose shares are there, and the pids in its logs, are not theirs to know."""
    place = mps.acquire((GPU,), "a")
    home = short_path / GPU
    modes = {path: path.stat().st_mode & 0o7 for path in (home, place.pipe, place.log)}
    assert modes == {home: 0o1, place.pipe: 0o1, place.log: 0}
    assert (home / "holders").stat().st_mode & 0o77 == 0


def test_it_inherits_nothing_that_would_charge_a_share(machine: Machine, short_path: Path) -> None:
    ours = {"LD_PRELOAD": "", "GPUSHARE_REGION": "/r", "CUDA_MPS_CLIENT_PRIORITY": "1"}
    environment = {**machine.environment, **ours, "CUDA_VISIBLE_DEVICES": "7"}
    mps = MpsDaemons(short_path, ProcProcesses(), environment)
    place = mps.acquire((GPU,), "a")
    seen = environment_of(daemon_of(short_path).pid)
    mps.release((GPU,), "a")
    assert not set(ours) & set(seen)
    assert seen["CUDA_VISIBLE_DEVICES"] == GPU
    assert seen["CUDA_MPS_PIPE_DIRECTORY"] == str(place.pipe)


def test_a_dead_daemon_is_an_error_and_comes_back(mps: MpsDaemons, short_path: Path) -> None:
    mps.acquire((GPU,), "a")
    daemon = daemon_of(short_path)
    os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: not ProcProcesses().alive(daemon), "the MPS daemon to end")
    with pytest.raises(MpsError) as caught:
        mps.control((GPU,)).servers()
    assert not caught.value.retryable
    mps.acquire((GPU,), "a")
    assert mps.control((GPU,)).servers() == ()


def test_a_stuck_daemon_is_recognised_and_killed(machine: Machine, short_path: Path) -> None:
    mps = daemons(machine, short_path, patience=0.6)
    daemons(machine, short_path).acquire((GPU,), "a")
    daemon = daemon_of(short_path)
    os.kill(daemon.pid, signal.SIGSTOP)
    with pytest.raises(MpsStuckError) as caught:
        mps.control((GPU,)).servers()
    assert caught.value.retryable
    mps.release((GPU,), "a")
    assert not ProcProcesses().alive(daemon)
    assert mps.holders() == {}


def test_a_daemon_that_does_not_answer_is_not_asked_by_every_caller(
    machine: Machine, short_path: Path, tmp_path: Path
) -> None:
    now = [1000.0]
    daemons(machine, short_path).acquire((GPU,), "a")
    mps = daemons(machine, short_path, patience=0.3)
    daemon = daemon_of(short_path)
    commands = tmp_path / "commands"
    environment = {**machine.environment, "PATH": counting(mps, commands)}
    asked = MpsDaemons(short_path, ProcProcesses(), environment, patience=0.3, clock=lambda: now[0])
    os.kill(daemon.pid, signal.SIGSTOP)
    for _ in range(20):
        with pytest.raises(MpsStuckError):
            asked.control((GPU,)).servers()
    assert len(commands.read_text().splitlines()) == 1
    now[0] += FIRST_PAUSE + 1
    for _ in range(2):
        with pytest.raises(MpsStuckError):
            asked.control((GPU,)).servers()
    assert len(commands.read_text().splitlines()) == 2
    os.kill(daemon.pid, signal.SIGCONT)
    now[0] += LONGEST_PAUSE
    assert asked.control((GPU,)).servers() == ()
    assert asked.control((GPU,)).clients() == ()
    mps.release((GPU,), "a")


def counting(mps: MpsDaemons, commands: Path) -> str:
    """A PATH whose control tool notes that it was started."""
    folder = commands.with_name("counted")
    folder.mkdir()
    tool = folder / "nvidia-cuda-mps-control"
    tool.write_text(f'#!/bin/sh\necho asked >> {commands}\nexec {mps.binary()} "$@"\n')
    tool.chmod(0o755)
    return str(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where another user may start programs."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("version", ["abc", "", "9" * 5000, "-1", "2\n"])
def test_a_look_alike_of_another_user_is_not_taken_for_the_daemon(
    machine: Machine, short_path: Path, open_folder: Path, version: str
) -> None:
    mps = daemons(machine, short_path)
    place = mps.acquire((GPU,), "a")
    ours = daemon_of(short_path)
    copy = open_folder / "nvidia-cuda-mps-control"
    shutil.copy("/bin/sleep", copy)
    copy.chmod(0o755)
    environment = {
        "CUDA_MPS_PIPE_DIRECTORY": str(place.pipe),
        "CUDA_MPS_PROTOCOL_VERSION": version,
    }
    another = 65534 if os.geteuid() == 0 else None
    look_alike = subprocess.Popen([str(copy), "100"], env=environment, user=another)
    try:
        (short_path / GPU / "daemon").unlink()
        successor = daemons(machine, short_path)
        assert successor.control((GPU,)).servers() == ()
        successor.release((GPU,), "a")
        assert not ProcProcesses().alive(ours)
        assert (look_alike.poll() is None) == (another is not None)
    finally:
        look_alike.kill()
        look_alike.wait()


def test_a_successor_finds_the_daemon_of_its_predecessor(
    machine: Machine, mps: MpsDaemons, short_path: Path
) -> None:
    mps.acquire((GPU,), "a")
    daemon = daemon_of(short_path)
    successor = daemons(machine, short_path)
    assert successor.holders() == {(GPU,): ("a",)}
    successor.acquire((GPU,), "b")
    assert daemon_of(short_path) == daemon


def test_a_daemon_whose_record_was_never_written_is_found(
    machine: Machine, mps: MpsDaemons, short_path: Path
) -> None:
    mps.acquire((GPU,), "a")
    daemon = daemon_of(short_path)
    (short_path / GPU / "daemon").unlink()
    successor = daemons(machine, short_path)
    assert successor.control((GPU,)).servers() == ()
    successor.release((GPU,), "a")
    assert not ProcProcesses().alive(daemon)


def test_a_reused_pid_is_not_taken_for_the_daemon(mps: MpsDaemons, short_path: Path) -> None:
    mps.acquire((GPU,), "a")
    real = (short_path / GPU / "daemon").read_bytes()
    forged = {"process": {"pid": os.getpid(), "started": 1}, "protocol": 2}
    (short_path / GPU / "daemon").write_bytes(msgspec.json.encode(forged))
    with pytest.raises(MpsError):
        mps.control((GPU,))
    (short_path / GPU / "daemon").write_bytes(real)


def test_a_daemon_that_cannot_start_says_why(machine: Machine, short_path: Path) -> None:
    environment = {**machine.environment}
    del environment["GPUSHARE_SIM_MACHINE"]
    mps = MpsDaemons(short_path, ProcProcesses(), environment)
    with pytest.raises(MpsError) as caught:
        mps.acquire((GPU,), "a")
    assert "no CUDA driver" in caught.value.because
    mps.release((GPU,), "a")
    assert mps.holders() == {}


def test_mps_may_not_be_installed(short_path: Path) -> None:
    mps = MpsDaemons(short_path, ProcProcesses(), {"PATH": str(short_path)})
    assert mps.binary() is None
    with pytest.raises(MpsError) as caught:
        mps.acquire((GPU,), "a")
    assert BINARY in caught.value.because


def test_a_path_too_long_for_a_socket_is_reported_before(
    machine: Machine, short_path: Path
) -> None:
    mps = daemons(machine, short_path / ("x" * 80))
    with pytest.raises(MpsError) as caught:
        mps.acquire((GPU,), "a")
    assert "too long" in caught.value.what


def test_two_gpus_have_two_daemons(short_path: Path) -> None:
    from support.machine import simulated  # noqa: PLC0415

    with simulated("a10-2") as machine:
        mps = daemons(machine, short_path)
        listed = machine.python(
            "from gpushare.hardware.nvidia.nvml import Nvml;"
            "from gpushare.hardware.nvidia.gpus import NvmlGpus;"
            "print(*(gpu.uuid for gpu in NvmlGpus(Nvml()).gpus()))"
        )
        one, other = map(GpuId, listed.stdout.split())
        assert mps.acquire((one,), "a").pipe != mps.acquire((other,), "b").pipe
        assert daemon_of(short_path, one) != daemon_of(short_path, other)
        mps.release((one,), "a")
        assert mps.holders() == {(other,): ("b",)}
        mps.release((other,), "b")


@pytest.mark.parametrize("machine", ["dgx-h100"], indirect=True)
def test_a_set_of_gpus_has_a_daemon_that_its_successor_knows(
    machine: Machine, short_path: Path
) -> None:
    mps, gpus = daemons(machine, short_path), (GpuId(f"{GPU[:-1]}3"), GpuId(f"{GPU[:-1]}2"))
    pipe = mps.acquire(gpus, "a").pipe
    assert mps.acquire(gpus[:1], "b").pipe != pipe
    assert mps.acquire(gpus[::-1], "c").pipe != pipe, "another order is another numbering"
    assert len(os.fsencode(pipe)) <= len(os.fsencode(short_path / GPU / "pipe"))
    pid = int((pipe / "nvidia-cuda-mps-control.pid").read_text())
    assert environment_of(pid)["CUDA_VISIBLE_DEVICES"] == ",".join(gpus)
    successor = daemons(machine, short_path)
    assert successor.holders() == {gpus: ("a",), gpus[:1]: ("b",), gpus[::-1]: ("c",)}
    successor.restart(gpus)
    assert successor.control(gpus).servers() == ()
    for served, holder in ((gpus, "a"), (gpus[:1], "b"), (gpus[::-1], "c")):
        successor.release(served, holder)
    assert not any(short_path.iterdir())


@pytest.mark.parametrize("machine", ["h200-r615"], indirect=True)
def test_the_third_protocol(machine: Machine, short_path: Path) -> None:
    daemons(machine, short_path, protocol=3).acquire((GPU,), "a")
    mps = daemons(machine, short_path)
    assert mps.control((GPU,)).servers() == (), (
        "spoken to as it was started, not as we would start it"
    )
    assert mps.control((GPU,)).clients() == ()
    daemon = daemon_of(short_path)
    mps.release((GPU,), "a")
    assert not ProcProcesses().alive(daemon)


def test_the_log_is_read_for_blame(mps: MpsDaemons) -> None:
    place = mps.acquire((GPU,), "a")
    assert mps.control((GPU,)).blame() == ()
    line = "[x Server 7] Client {PID: 41, Context ID: 0} raised a fatal GPU exception\n"
    (place.log / "server.log").write_text(line)
    assert mps.control((GPU,)).blame() == (41,)


def test_a_restart_is_another_daemon_with_the_same_holders(
    mps: MpsDaemons, short_path: Path
) -> None:
    mps.acquire((GPU,), "a")
    first = daemon_of(short_path)
    mps.restart((GPU,))
    assert daemon_of(short_path) != first
    assert not ProcProcesses().alive(first)
    assert mps.holders() == {(GPU,): ("a",)}


def test_without_a_holder_only_an_abandoned_daemon_ends(mps: MpsDaemons, short_path: Path) -> None:
    mps.acquire((GPU,), "a")
    mps.release((GPU,), None)
    assert mps.holders() == {(GPU,): ("a",)}
    (short_path / GPU / "holders" / "a").unlink()
    mps.release((GPU,), None)
    assert mps.holders() == {}


def test_files_that_cannot_be_kept_are_our_error(machine: Machine, short_path: Path) -> None:
    (short_path / "mps").write_text("a file")
    with pytest.raises(MpsError) as caught:
        daemons(machine, short_path / "mps").acquire((GPU,), "a")
    assert "Not a directory" in caught.value.because
