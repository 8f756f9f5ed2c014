# SPDX-License-Identifier: Apache-2.0
"""The mechanism on real daemons of a simulated machine; faults of servers by a port in memory."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gpushare.hardware.linux.processes import ProcProcesses
from gpushare.hardware.mps.daemons import MpsDaemons
from gpushare.hardware.ports import MpsClient, MpsGpus, MpsPlace, MpsServer, MpsState
from gpushare.mechanisms.mps import MpsMechanism, limits
from gpushare.model.errors import MpsError, MpsStuckError
from gpushare.model.ids import GpuId
from gpushare.model.share import ProcessRef
from gpushare.model.spec import MechanismName, Priority
from gpushare.model.units import GIB, MIB
from support.machine import Machine
from support.promises import REAL
from support.shares import GPU, grant, share

BY = (MechanismName.MPS,)


class Server:
    """One MPS server and its clients in memory; both the port and the conversation."""

    def __init__(self, state: MpsState = MpsState.ACTIVE, *clients: int) -> None:
        self.state, self.pids = state, list(clients)
        self.log: list[str] = []
        self.served: MpsGpus = ()
        self.held: tuple[str, ...] = ("a",)
        self.error: MpsError | None = None

    def acquire(self, gpus: MpsGpus, holder: str) -> MpsPlace:
        self.log.append(f"acquire {holder}")
        self.served = gpus
        return MpsPlace(gpus=gpus, pipe=Path("/pipe"), log=Path("/log"))

    def release(self, gpus: MpsGpus, holder: str | None) -> None:
        self.log.append(f"release {holder}")

    def holders(self) -> dict[MpsGpus, tuple[str, ...]]:
        return {(GPU,): self.held} if self.held else {}

    def control(self, gpus: MpsGpus) -> "Server":
        return self

    def blame(self) -> tuple[int, ...]:
        return (41,)

    def servers(self) -> tuple[MpsServer, ...]:
        if self.error:
            raise self.error
        return (MpsServer(pid=7, state=self.state),)

    def clients(self) -> tuple[MpsClient, ...]:
        if self.error:
            raise self.error
        return tuple(MpsClient(pid=pid, server=7) for pid in self.pids)

    def terminate(self, client: MpsClient) -> None:
        self.log.append(f"terminate {client.pid}")

    def restart(self, gpus: MpsGpus) -> None:
        self.log.append("restart")


@pytest.fixture
def daemons(machine: Machine, short_path: Path) -> Iterator[MpsDaemons]:
    found = MpsDaemons(short_path, ProcProcesses(), machine.environment)
    yield found
    for gpu, holders in found.holders().items():
        for holder in (*holders, None):
            found.release(gpu, holder)


def test_a_share_joins_and_leaves_the_daemon_of_its_gpu(daemons: MpsDaemons) -> None:
    mechanism = MpsMechanism(daemons)
    one, other = share(by=BY), share(by=BY, id="ba9876543210")
    edits = mechanism.prepare(one, [grant(limit=4 * GIB, compute=25)])
    assert edits.env["CUDA_VISIBLE_DEVICES"] == GPU
    assert edits.env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"
    assert (Path(edits.env["CUDA_MPS_PIPE_DIRECTORY"]) / "control").exists()
    assert mechanism.prepare(one, [grant(limit=4 * GIB, compute=25)]) == edits
    mechanism.prepare(other, [grant()])
    mechanism.release(one)
    assert daemons.holders() == {(GPU,): (other.id,)}
    mechanism.release(one)
    MpsMechanism(daemons).release(other)
    assert daemons.holders() == {}


def test_with_the_guard_in_the_stack_turns_hold_the_compute_limit() -> None:
    guarded = share(by=(*BY, MechanismName.GUARD), priority=Priority.LOW)
    edits = MpsMechanism(Server(), layers=REAL).prepare(guarded, [grant(compute=25)])
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" in edits.unset
    assert edits.env["CUDA_MPS_CLIENT_PRIORITY"] == "1"


@pytest.mark.parametrize("layer", [MechanismName.GUARD, MechanismName.DRIVER_LIMIT])
def test_memory_that_a_layer_limits_is_not_fixed_by_mps_when_a_program_starts(layer) -> None:
    edits = MpsMechanism(Server(), layers=REAL).prepare(share(by=(*BY, layer)), [grant()])
    assert "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT" in edits.unset


def test_no_variable_is_both_set_and_unset() -> None:
    edits = MpsMechanism(Server()).prepare(share(by=BY), [grant(compute=100)])
    assert not set(edits.env) & set(edits.unset)
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" in edits.unset


def test_several_gpus_have_a_daemon_for_exactly_these() -> None:
    server, one = Server(), share(grant("GPU-b"), grant("GPU-a"), by=BY)
    edits = MpsMechanism(server).prepare(
        one, [grant("GPU-b", 4 * GIB, 25), grant("GPU-a", 2 * GIB)]
    )
    assert server.served == ("GPU-b", "GPU-a")
    assert edits.env["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"
    assert edits.env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=4096M,1=2048M"
    assert edits.env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "25"


def test_a_failed_server_of_several_gpus_keeps_new_shares_from_each_of_them() -> None:
    server, one = Server(MpsState.FAULT, 40), share(grant("GPU-a"), grant("GPU-b"), by=BY)
    mechanism = MpsMechanism(server)
    mechanism.observe(one)
    assert "GPU-a, GPU-b" in mechanism.unready(GpuId("GPU-a"))
    assert mechanism.unready(GpuId("GPU-b"))
    assert not mechanism.unready(GPU)


@pytest.mark.parametrize(
    ("limit", "text"), [(4 * GIB, "0=4096M"), (5 * MIB + 1, "0=5M"), (1, "0=1M")]
)
def test_the_pinned_limit_names_the_one_visible_device(limit: int, text: str) -> None:
    found = limits([grant(limit=limit)], Priority.NORMAL)
    assert found == {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": text}


def test_low_priority_is_below_normal() -> None:
    assert limits([grant()], Priority.LOW)["CUDA_MPS_CLIENT_PRIORITY"] == "1"
    assert "CUDA_MPS_CLIENT_PRIORITY" not in limits([grant()], Priority.HIGH)


def test_only_clients_of_the_share_are_drained() -> None:
    server = Server(MpsState.ACTIVE, 40, 41, 42)
    MpsMechanism(server).drain(share(by=BY), [41, 99])
    assert server.log == ["terminate 41"]


@pytest.mark.parametrize("error", [MpsError("dead"), MpsStuckError("stuck")])
def test_a_daemon_that_is_gone_does_not_stop_a_kill(error: MpsError) -> None:
    server = Server(MpsState.ACTIVE, 41)
    server.error = error
    MpsMechanism(server).drain(share(by=BY), [41])
    assert server.log == []


def test_a_fault_is_seen_and_blamed() -> None:
    seen = MpsMechanism(Server(MpsState.FAULT, 40)).observe(share(by=BY))
    assert "FAULT" in seen.fault
    assert seen.blamed == (41,)


def test_looks_are_rare_and_come_to_an_end() -> None:
    server, now = Server(), [0.0]
    mechanism = MpsMechanism(server, lambda: now[0])
    assert mechanism.observe(share(by=BY)).fault == ""
    server.state = MpsState.FAULT
    assert mechanism.observe(share(by=BY)).fault == ""
    now[0] += 60
    assert "FAULT" in mechanism.observe(share(by=BY)).fault


@pytest.mark.parametrize(
    ("state", "clients", "log"),
    [
        (MpsState.ACTIVE, (), []),
        (MpsState.FAULT, (40,), []),
        (MpsState.FAULT, (), ["restart"]),
    ],
)
def test_a_faulted_server_is_restarted_when_its_clients_are_gone(
    state: MpsState, clients: tuple[int, ...], log: list[str]
) -> None:
    server = Server(state, *clients)
    done = MpsMechanism(server).mend()
    assert server.log == log
    assert len(done) == (1 if log else 0)


def test_a_stuck_daemon_is_left_to_the_operator_and_seen() -> None:
    server = Server()
    server.error = MpsStuckError("the MPS control daemon does not answer")
    mechanism = MpsMechanism(server)
    assert mechanism.mend() == ()
    assert "does not answer" in mechanism.observe(share(by=BY)).fault


def test_a_dead_daemon_comes_back(daemons: MpsDaemons, short_path: Path) -> None:
    mechanism, one = MpsMechanism(daemons), share(by=BY)
    mechanism.prepare(one, [grant()])
    record = short_path / GPU / "daemon"
    first = msgspec.convert(msgspec.json.decode(record.read_bytes())["process"], ProcessRef)
    os.kill(first.pid, signal.SIGKILL)
    while ProcProcesses().alive(first):
        pass
    assert "no MPS control daemon" in mechanism.observe(one).fault
    assert "no MPS control daemon" in mechanism.trouble(GPU)
    assert len(mechanism.mend()) == 1
    assert (mechanism.observe(one).fault, mechanism.trouble(GPU)) == ("", "")
    assert mechanism.mend() == ()
    assert msgspec.json.decode(record.read_bytes())["process"]["pid"] != first.pid


def test_a_daemon_that_no_share_holds_is_stopped(daemons: MpsDaemons, short_path: Path) -> None:
    daemons.acquire((GPU,), "a")
    (short_path / GPU / "holders" / "a").unlink()
    assert len(MpsMechanism(daemons).mend()) == 1
    assert daemons.holders() == {}


def test_a_daemon_that_ends_between_two_looks_is_seen_at_once(daemons: MpsDaemons) -> None:
    mechanism, one = MpsMechanism(daemons, lambda: 0.0), share(by=BY)
    assert mechanism.trouble(GPU) == "", "a GPU without a daemon has no trouble"
    mechanism.prepare(one, [grant()])
    assert (mechanism.observe(one).fault, mechanism.trouble(GPU)) == ("", "")
    pid = int((daemons.acquire((GPU,), "looks").pipe / "nvidia-cuda-mps-control.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    while ProcProcesses().find(pid):
        pass
    assert "it ended or was killed" in mechanism.observe(one).fault
    assert "it ended or was killed" in mechanism.trouble(GPU)


def test_trouble_is_what_the_newest_look_has_found_and_asks_no_daemon() -> None:
    server = Server(MpsState.FAULT, 40)
    mechanism = MpsMechanism(server)
    assert mechanism.trouble(GPU) == ""
    mechanism.observe(share(by=BY))
    server.error = MpsStuckError("it is not asked")
    assert "FAULT" in mechanism.trouble(GPU)


def test_a_gpu_takes_no_new_share_while_its_server_is_in_fault_or_silent() -> None:
    server, now = Server(MpsState.FAULT, 40), [0.0]
    mechanism, one = MpsMechanism(server, lambda: now[0]), share(by=BY)
    assert mechanism.unready(GPU) == "", "nothing was seen yet"
    mechanism.observe(one)
    assert "FAULT" in mechanism.unready(GPU)
    server.state, now[0] = MpsState.ACTIVE, 60.0
    mechanism.observe(one)
    assert mechanism.unready(GPU) == ""
    server.error, now[0] = MpsStuckError("the MPS control daemon does not answer"), 120.0
    mechanism.observe(one)
    assert "does not answer" in mechanism.unready(GPU)


def test_what_was_seen_of_a_server_ends_with_its_last_share() -> None:
    server = Server(MpsState.FAULT, 40)
    mechanism, one = MpsMechanism(server), share(by=BY)
    mechanism.observe(one)
    server.held = ()
    mechanism.release(one)
    assert mechanism.unready(GPU) == ""
