# SPDX-License-Identifier: Apache-2.0
"""Whatever comes over its socket, the simulated MPS daemon goes on."""

import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.machine import Machine

HEADER = struct.Struct("=3I i I 3i")  # magic, protocol, verb, pid, uid, slot, threads, priority
MAGIC, PROTOCOL = 0x53504D47, 1
TEXT = 512


@pytest.fixture
def control(machine: Machine) -> Path:
    done = machine.run("nvidia-cuda-mps-control", "-d")
    assert done.returncode == 0, done.stderr
    return Path(machine.environment["CUDA_MPS_PIPE_DIRECTORY"]) / "control"


def dial(control: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(str(control))
    except OSError:
        connection.close()
        raise
    return connection


def answers(machine: Machine) -> bool:
    asked = machine.run("sh", "-c", "echo get_server_list | nvidia-cuda-mps-control")
    return asked.returncode == 0


@settings(max_examples=60)
@given(
    fields=st.tuples(st.integers(0, 4), st.integers(-3, 300), st.integers(-200, 200)),
    text=st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=TEXT),
    cut=st.none() | st.integers(0, HEADER.size + TEXT),
)
def test_requests_of_any_shape_are_survived(
    machine: Machine, control: Path, fields: tuple[int, int, int], text: str, cut: int | None
):
    if text.split()[:1] == ["quit"]:
        return
    verb, slot, threads = fields
    header = HEADER.pack(MAGIC, PROTOCOL, verb, 1, 0, slot, threads, -1)
    packet = header + text.encode().ljust(TEXT, b"\0")
    with dial(control) as connection:
        connection.send(packet[:cut])

    assert answers(machine)


def test_a_command_without_its_end_is_read_to_the_packets_end(machine: Machine, control: Path):
    header = HEADER.pack(MAGIC, PROTOCOL, 2, 1, 0, -1, 0, -1)
    with dial(control) as connection:
        connection.send(header + b"x" * TEXT)
        reply = connection.recv(4096)

    assert reply.startswith(b'Unknown command "xxx')


def test_more_connections_than_it_can_hold_do_not_block_it(
    machine: Machine, control: Path, until: Callable[..., object]
):
    with ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(dial(control))
    until(lambda: answers(machine), "the daemon to answer again")


def test_commands_longer_than_a_line_are_refused_by_the_tool(machine: Machine, control: Path):
    asked = machine.run("nvidia-cuda-mps-control", "get_server_list", "x" * 600)

    assert asked.returncode == 1


@pytest.mark.parametrize(
    "line",
    [
        "get_server_status",
        "get_server_status none",
        "get_client_list -1",
        "set_default_active_thread_percentage 0",
        "set_default_active_thread_percentage 1e9",
        "set_default_device_pinned_mem_limit 0 4GiB",
        "set_default_client_priority 2",
        "terminate_client 1 1",
        "ps -x",
        "start_server 5",
        "quit -t",
    ],
)
def test_bad_values_are_answered_with_a_failure(machine: Machine, control: Path, line: str):
    asked = machine.run("sh", "-c", f"echo {line} | nvidia-cuda-mps-control")

    assert asked.stdout.startswith("Failed"), asked.stdout + asked.stderr
    assert answers(machine)
