# SPDX-License-Identifier: Apache-2.0
"""What to say to an MPS control daemon, and how to read what it answers (NVIDIA MPS docs, r615).

v2, the default of every release, takes commands on standard input. v3 takes `module verb` on the
command line and answers CSV, whose columns are found by name: releases may add some.
"""

import csv
from collections.abc import Callable
from typing import Protocol

from gpushare.hardware.ports import MpsClient, MpsServer, MpsState
from gpushare.model.errors import MpsError

Ask = Callable[[str], str]


class Dialect(Protocol):
    @property
    def protocol(self) -> int: ...

    def servers(self, ask: Ask) -> tuple[MpsServer, ...]: ...

    def clients(self, ask: Ask) -> tuple[MpsClient, ...]: ...

    def terminate(self, ask: Ask, client: MpsClient) -> None: ...


class V2:
    protocol = 2

    def servers(self, ask: Ask) -> tuple[MpsServer, ...]:
        pids = _pids(ask("get_server_list"))
        return tuple(
            MpsServer(pid=pid, state=read_state(ask(f"get_server_status {pid}"))) for pid in pids
        )

    def clients(self, ask: Ask) -> tuple[MpsClient, ...]:
        return tuple(
            MpsClient(pid=pid, server=server)
            for server in _pids(ask("get_server_list"))
            for pid in _pids(ask(f"get_client_list {server}"))
        )

    def terminate(self, ask: Ask, client: MpsClient) -> None:
        _fine(ask(f"terminate_client {client.server} {client.pid}"))


class V3:
    protocol = 3

    def servers(self, ask: Ask) -> tuple[MpsServer, ...]:
        rows = read_table(_fine(ask("server list --format=csv")))
        return tuple(
            MpsServer(
                pid=int(row["pid"]),
                state=read_state(row.get("status") or row.get("state", "")),
                name=row.get("name", ""),
            )
            for row in rows
        )

    def clients(self, ask: Ask) -> tuple[MpsClient, ...]:
        servers = {server.name: server.pid for server in self.servers(ask)}
        rows = read_table(_fine(ask("client list --all --format=csv")))
        return tuple(
            MpsClient(pid=int(row["pid"]), server=_server_pid(row.get("server", ""), servers))
            for row in rows
        )

    def terminate(self, ask: Ask, client: MpsClient) -> None:
        _fine(ask(f"client terminate {client.pid}"))


def dialect(protocol: int) -> Dialect:
    return V3() if protocol >= 3 else V2()


def read_state(text: str) -> MpsState:
    """A server's state, at any position in the answer; raises MpsError."""
    words = text.upper().replace(":", " ").split()
    for state in MpsState:
        if state in words:
            return state
    raise MpsError("cannot read the state of an MPS server", repr(text.strip()))


def read_table(text: str) -> tuple[dict[str, str], ...]:
    """CSV with a header, keys in lower case; an empty answer is an empty table."""
    rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    if not rows:
        return ()
    names = [name.strip().lower() for name in rows[0]]
    if "pid" not in names:
        raise MpsError("cannot read a table from the MPS control daemon", repr(text.strip()))
    return tuple(dict(zip(names, map(str.strip, row), strict=False)) for row in rows[1:] if row)


def _pids(text: str) -> tuple[int, ...]:
    """One pid a line; words without a number say that there is none. Raises MpsError on others."""
    lines = [line.strip() for line in _fine(text).splitlines()]
    numbered = [line for line in lines if any(map(str.isdigit, line))]
    if not all(line.isdecimal() for line in numbered):
        raise MpsError("the MPS control daemon does not answer with pids", text.strip())
    return tuple(map(int, numbered))


def _fine(answer: str) -> str:
    """Daemons answer what they refuse as text, with an exit code of 0."""
    if any(word in answer.lower() for word in ("unknown command", "failed", "error:", "invalid")):
        raise MpsError("the MPS control daemon refused a command", answer.strip())
    return answer


def _server_pid(text: str, servers: dict[str, int]) -> int:
    return int(text) if text.isdecimal() else servers.get(text, 0)
