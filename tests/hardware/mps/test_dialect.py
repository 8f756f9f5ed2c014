# SPDX-License-Identifier: Apache-2.0
"""Both dialects against written answers: what a daemon may say and what is refused."""

from collections.abc import Callable

import pytest

from gpushare.hardware.mps.dialect import V2, V3, dialect, read_state, read_table
from gpushare.hardware.mps.log import blamed
from gpushare.hardware.ports import MpsClient, MpsServer, MpsState
from gpushare.model.errors import MpsError


def script(**answers: str) -> Callable[[str], str]:
    """Answers by command, spaces written as underscores."""
    return lambda command: answers[command.replace(" ", "_").replace("-", "_").replace("=", "_")]


def recorder(log: list[str], answer: str = "") -> Callable[[str], str]:
    return lambda command: log.append(command) or answer


def test_v2_servers_and_clients() -> None:
    ask = script(
        get_server_list="12\n13\n",
        get_server_status_12="ACTIVE\n",
        get_server_status_13="Server status: FAULT\n",
        get_client_list_12="100\n101\n",
        get_client_list_13="",
    )
    assert V2().servers(ask) == (
        MpsServer(pid=12, state=MpsState.ACTIVE),
        MpsServer(pid=13, state=MpsState.FAULT),
    )
    assert V2().clients(ask) == (MpsClient(pid=100, server=12), MpsClient(pid=101, server=12))


def test_v3_tables_are_read_by_column_name() -> None:
    servers = "uid, NAME, Status, pid, new_column\n1000, uid_1000, FAULT, 12, x\n"
    clients = "pid,server,namespace\n100,uid_1000,default\n101,12,default\n"
    ask = script(server_list___format_csv=servers, client_list___all___format_csv=clients)
    assert V3().servers(ask) == (MpsServer(pid=12, state=MpsState.FAULT, name="uid_1000"),)
    assert V3().clients(ask) == (MpsClient(pid=100, server=12), MpsClient(pid=101, server=12))


def test_no_servers_is_no_error() -> None:
    assert V2().servers(lambda _: "") == ()
    assert V2().servers(lambda _: "Server list is empty\n") == ()
    assert V3().servers(lambda _: "") == ()
    assert V3().servers(lambda _: "name,pid,uid,status\n") == ()


def test_terminate() -> None:
    log: list[str] = []
    V2().terminate(recorder(log, "0\n"), MpsClient(pid=100, server=12))
    V3().terminate(recorder(log), MpsClient(pid=100, server=12))
    assert log == ["terminate_client 12 100", "client terminate 100"]


@pytest.mark.parametrize("answer", ['Unknown command "get_server_list"', "12 x", "-1"])
def test_an_answer_that_is_no_list_of_pids(answer: str) -> None:
    with pytest.raises(MpsError):
        V2().servers(lambda _: answer)


@pytest.mark.parametrize("answer", ["PID  NAME\n316...  x\n", "garbage"])
def test_a_table_without_pids(answer: str) -> None:
    with pytest.raises(MpsError):
        read_table(answer)


@pytest.mark.parametrize("answer", ["", "OK", "activeX"])
def test_an_unknown_state(answer: str) -> None:
    with pytest.raises(MpsError):
        read_state(answer)


def test_a_refused_command_is_an_error() -> None:
    with pytest.raises(MpsError) as caught:
        V2().terminate(lambda _: "Unknown command: terminate_client", MpsClient(pid=1, server=2))
    assert "Unknown command" in caught.value.because


@pytest.mark.parametrize(("protocol", "kind"), [(2, V2), (3, V3)])
def test_the_protocol_chooses_the_dialect(protocol: int, kind: type) -> None:
    assert type(dialect(protocol)) is kind
    assert dialect(protocol).protocol == protocol


LOG = """\
[2026-11-23 10:51:29.269 Server 29489] New client 14781 connected
[2026-11-23 10:51:30.001 Server 29489] Client {PID: 14781, Context ID: 0} raised a fatal exception
[2026-11-23 10:51:30.002 Server 29489] Client {PID: 14781, Context ID: 0} raised a fatal exception
[2026-11-23 10:51:31.706 Server 29489] Memory fault caused by client process 15002 at 0xdeadbeef
[2026-11-23 10:51:32.000 Server 29489] Server enters state FAULT until every client has left
[2026-11-23 10:51:33.000 Server 29489] Client 14777 disconnected
"""


def test_only_who_faulted_is_blamed() -> None:
    assert blamed(LOG.splitlines()) == (14781, 15002)
    assert blamed([]) == ()
