# SPDX-License-Identifier: Apache-2.0
"""What MPS does to its clients, as measured on an H200 with driver 580."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gpushare.guard import native_root
from support.machine import Machine
from support.mechanics import PROGRAM, Program

pytestmark = pytest.mark.contract

OUT_OF_MEMORY, DEVICE_UNAVAILABLE, ILLEGAL_ADDRESS, NOT_READY, TERMINATED = 2, 46, 700, 807, 810
GIB = 1 << 30


class Mps:
    """One control daemon on private folders, and clients of it."""

    def __init__(self, machine: Machine, folder: Path, stack: ExitStack, gpu: str = "0") -> None:
        self.machine, self._stack = machine, stack
        self._env = {
            "CUDA_MPS_PIPE_DIRECTORY": str(folder / "pipe"),
            "CUDA_MPS_LOG_DIRECTORY": str(folder / "log"),
        }
        self.log = folder / "log" / "server.log"
        env = {**self._env, "CUDA_VISIBLE_DEVICES": gpu}
        done = machine.run("nvidia-cuda-mps-control", "-d", env=env)
        assert done.returncode == 0, done.stderr

    def ask(self, command: str) -> str:
        words = ["sh", "-c", f"echo {command} | nvidia-cuda-mps-control"]
        return self.machine.run(*words, env=self._env).stdout.strip()

    def run_as(self, uid: int, program: str | Path, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [program, *words],
            input=stdin,
            env={**self.machine.environment, **self._env},
            capture_output=True,
            text=True,
            check=False,
            user=uid,
            group=uid,
            extra_groups=[],
            timeout=60,
        )
        return done.stdout.strip()

    def server(self) -> str:
        return self.ask("get_server_list")

    def client(self, **env: str) -> Program:
        gate = ["/bin/sh", "-c", 'read -r _ && exec "$@"', "sh", sys.executable, str(PROGRAM)]
        process = subprocess.Popen(
            gate,
            env={**self.machine.environment, **self._env, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        return Program(process)


@pytest.fixture
def mps(any_machine: Machine, short_path: Path) -> Iterator[Mps]:
    with ExitStack() as stack:
        found = Mps(any_machine, short_path, stack)
        yield found
    found.ask("quit")


@pytest.mark.parametrize(("percent", "units"), [(10, 12), (25, 32), (50, 66), (75, 98)])
def test_a_client_sees_its_part_of_132_multiprocessors(mps: Mps, percent: int, units: int):
    whole = mps.client().look()["units"]
    if whole != 132:
        pytest.skip(f"measured on 132 multiprocessors, this GPU has {whole}")

    client = mps.client(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=str(percent))

    assert client.look()["units"] == units


def test_a_client_may_only_lower_what_its_server_allows(mps: Mps):
    mps.ask("set_default_active_thread_percentage 25")

    allowed = mps.client().look()["units"]

    assert mps.client(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="75").look()["units"] == allowed
    assert mps.client(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="10").look()["units"] < allowed


def test_a_pinned_limit_shows_as_free_memory_but_not_as_total(mps: Mps):
    client = mps.client(CUDA_MPS_PINNED_DEVICE_MEM_LIMIT="0=4G")

    seen = client.look()

    assert seen["free"] < 4 * GIB < seen["total"]
    assert client.take(6 * 1024)["result"] == OUT_OF_MEMORY


@pytest.mark.parametrize("text", ["0=4G,1=4G", "7=4G"])
def test_an_entry_for_an_invisible_device_drops_every_limit(mps: Mps, text: str):
    client = mps.client(CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=text, CUDA_VISIBLE_DEVICES="0")

    assert client.take(6 * 1024) == {"result": 0, "held": 6 * GIB}


def test_a_default_limit_binds_servers_that_start_later(mps: Mps):
    mps.client()
    mps.ask("set_default_device_pinned_mem_limit 0 2G")

    assert mps.client().take(3 * 1024)["result"] == 0


def test_a_terminated_client_ends_and_its_neighbour_goes_on(mps: Mps):
    one, other = mps.client(), mps.client()
    one.take(64)
    other.take(64)

    assert mps.ask(f"terminate_client {mps.server()} {one.pid}") == "0"

    assert one.touch() == TERMINATED
    assert other.touch() == 0


def test_a_killed_client_leaves_the_table(mps: Mps, until: Callable[..., object]):
    one, other = mps.client(), mps.client()
    one.kill()

    until(
        lambda: mps.ask(f"get_client_list {mps.server()}") == str(other.pid),
        "the killed client to leave",
    )


def test_a_fault_reaches_every_client_and_newcomers_until_all_have_left(
    mps: Mps, until: Callable[..., object]
):
    if mps.machine.image is None:
        pytest.skip("faults are injected into simulated machines only")
    one, other = mps.client(), mps.client()
    one.take(64)
    other.take(64)
    server = mps.server()

    mps.machine.fault("gpu=0", f"pid={one.pid}", "xid=31")

    assert one.touch() == ILLEGAL_ADDRESS
    assert other.touch() == ILLEGAL_ADDRESS
    assert mps.ask(f"get_server_status {server}") == "FAULT"
    one.kill()
    assert mps.client().started == NOT_READY
    other.kill()
    until(lambda: mps.ask(f"get_server_status {server}") == "ACTIVE", "the server to recover")
    assert mps.client().started == 0
    assert mps.server() == server
    blame = f"{{PID: {one.pid}, Context ID: 0}} raised a fatal GPU exception"
    until(lambda: blame in mps.log.read_text(), "the server to say who it was")


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_daemons_of_two_gpus_do_not_know_each_other(machine: Machine, short_path: Path):
    with ExitStack() as stack:
        first = Mps(machine, short_path / "0", stack, "0")
        second = Mps(machine, short_path / "1", stack, "1")
        one, other = first.client(), second.client()
        one.take(64)
        other.take(64)

        machine.fault("gpu=0", f"pid={one.pid}", "xid=31")

        assert one.touch() == ILLEGAL_ADDRESS
        assert other.touch() == 0
        assert second.ask(f"get_client_list {second.server()}") == str(other.pid)
        assert second.client().started == 0
    first.ask("quit")
    second.ask("quit")


@pytest.mark.parametrize("machine", ["a10-2"], indirect=True)
def test_an_exclusive_gpu_is_its_servers(machine: Machine, short_path: Path):
    done = machine.python(
        "import pynvml as n; n.nvmlInit();"
        "n.nvmlDeviceSetComputeMode(n.nvmlDeviceGetHandleByIndex(0), 3)"
    )
    if done.returncode:
        pytest.skip("only root may set the compute mode")
    with ExitStack() as stack:
        mps = Mps(machine, short_path, stack, "0")
        assert mps.client().started == mps.client().started == 0

        past_mps = mps.client(CUDA_MPS_PIPE_DIRECTORY="/dev/null", CUDA_VISIBLE_DEVICES="0")

        assert past_mps.started == DEVICE_UNAVAILABLE
    mps.ask("quit")


OTHER = 65534


@pytest.fixture
def other(mps: Mps, short_path: Path) -> int:
    """Another user, who can run programs of this test."""
    if os.geteuid() != 0:
        pytest.skip("only root can start programs of another user")
    short_path.chmod(0o711)
    if image := mps.machine.environment.get("GPUSHARE_SIM_MACHINE"):
        Path(image).chmod(0o666)
        Path(image).parent.chmod(0o711)
    shutil.copy(native_root() / "probe" / "gpushare-probe", short_path)
    try:
        mps.run_as(OTHER, short_path / "gpushare-probe", "--help")
    except PermissionError:
        pytest.skip("programs in the folder of tests are closed to other users")
    return OTHER


def test_only_its_user_and_root_command_a_daemon(mps: Mps, other: int) -> None:
    """What clients need is open to every user; it is no way to end the daemon or change it."""
    mps.client().look()
    server = mps.server()
    assert server.isdigit()
    # Driver 580 tells every user the servers (get_server_list), so only changes are tried here.
    for command in ("quit", f"shutdown_server {server} -f"):
        mps.run_as(other, "nvidia-cuda-mps-control", stdin=f"{command}\n")
    assert mps.server() == server


def test_clients_of_another_user_pass_closed_folders(mps: Mps, short_path: Path, other: int):
    """With the modes that gpushare gives the folders of its daemons."""
    for name, mode in (("pipe", 0o711), ("log", 0o700)):
        (short_path / name).chmod(mode)
    probe = short_path / "gpushare-probe"
    report = json.loads(mps.run_as(other, probe, "--context-only", "--no-escapes"))
    assert report["devices"]
    assert mps.server().isdigit(), "it was served by MPS"
