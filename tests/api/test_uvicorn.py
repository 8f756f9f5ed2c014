# SPDX-License-Identifier: Apache-2.0
"""What `api.server` overrides in uvicorn is still there.

`Server.startup`, `Server.servers` and the state of `H11Protocol` are not public: a release may
change them without notice. When a test here fails, read `api/server.py` and `api/acceptor.py`
against the new uvicorn before you raise the upper bound in pyproject.toml.
"""

import ast
import asyncio
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from gpushare.api import server


def attributes(function: Callable[..., Any], of: str = "self") -> set[str]:
    """Names that a function uses of `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == of
    }


def parameters(function: Callable[..., Any]) -> list[str]:
    return [*inspect.signature(function).parameters]


def test_startup_sets_what_our_startup_sets():
    assert parameters(uvicorn.Server.startup) == ["self", "sockets"]
    assert attributes(uvicorn.Server.startup) == {
        "config", "lifespan", "server_state", "servers", "started", "_log_started_message",
    }  # fmt: skip
    assert attributes(uvicorn.Server.startup, "self.lifespan") == {
        "shutdown", "should_exit", "startup", "state",
    }  # fmt: skip


def test_a_listening_server_is_only_closed_and_awaited():
    used = attributes(uvicorn.Server.shutdown, "server")
    waits = uvicorn.Server._wait_tasks_to_complete  # noqa: SLF001 (we override what it calls)
    used |= attributes(waits, "server")

    assert used == {"close", "wait_closed"}
    assert "servers" not in attributes(uvicorn.Server.main_loop)


def test_signals_are_captured_in_one_place():
    assert parameters(uvicorn.Server.capture_signals) == ["self"]
    assert "capture_signals" in attributes(uvicorn.Server.serve)
    assert "should_exit" in attributes(uvicorn.Server.on_tick)


def test_a_protocol_is_made_from_what_we_give_it():
    assert parameters(H11Protocol) == ["config", "server_state", "app_state", "_loop"]


def test_the_main_loop_only_ticks_until_a_tick_says_so():
    assert parameters(uvicorn.Server.main_loop) == ["self"]
    assert parameters(uvicorn.Server.on_tick) == ["self", "counter"]
    assert attributes(uvicorn.Server.main_loop) == {"on_tick"}


async def _ticks_of_a_stopped_server() -> int:
    stopped, ticks = server.Server(Starlette()), 0

    async def on_tick(counter: int) -> bool:
        nonlocal ticks
        assert counter % 10 == 0, "only then uvicorn renews the date"
        ticks += 1
        return stopped.should_exit

    stopped.on_tick = on_tick  # type: ignore[method-assign]
    asyncio.get_running_loop().call_soon(stopped.stop)
    await stopped.main_loop()
    return ticks


def test_a_server_that_is_stopped_does_not_wait_for_its_next_tick(monkeypatch):
    monkeypatch.setattr(server, "_TICK_SECONDS", 3600.0)
    assert asyncio.run(_ticks_of_a_stopped_server()) == 2


@pytest.mark.parametrize(
    ("method", "used"),
    [
        (H11Protocol.connection_made, {"transport"}),
        (H11Protocol.connection_lost, {"cycle", "transport"}),
        (H11Protocol.handle_events, {"app_state", "cycle", "on_response_complete"}),
        (H11Protocol.on_response_complete, {"transport"}),
        (H11Protocol.__init__, {"app_state", "cycle", "loop", "transport"}),
    ],
)
def test_the_state_of_a_connection_is_where_we_read_it(method: Callable[..., Any], used: set[str]):
    assert used <= attributes(method)


def test_a_cycle_says_whether_its_response_is_complete():
    assert "response_complete" in attributes(RequestResponseCycle.send)
