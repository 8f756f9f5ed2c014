# SPDX-License-Identifier: Apache-2.0
"""How long a connection may do nothing."""

import asyncio
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from gpushare.api.server import BoundedProtocol


class Connection:
    """A connection whose time is over when the test says so."""

    def __init__(self) -> None:
        self.transport = Mock(asyncio.Transport)
        self.transport.get_extra_info.return_value = None
        self.unread(0)
        self.loop = Mock(asyncio.AbstractEventLoop)
        config = uvicorn.Config(Mock(), http=BoundedProtocol, lifespan="off", log_config=None)
        self.protocol = BoundedProtocol(config, ServerState(), {}, _loop=self.loop)
        self.protocol.connection_made(self.transport)

    def unread(self, size: int) -> None:
        self.transport.get_write_buffer_size.return_value = size

    def time_is_over(self) -> None:
        _, overdue = self.loop.call_later.call_args.args
        overdue()

    @property
    def closed(self) -> bool:
        return bool(self.transport.abort.called)


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_a_client_that_sends_nothing_is_closed(connection: Connection) -> None:
    connection.time_is_over()
    assert connection.closed


def test_a_client_that_still_reads_an_answer_is_not_cut(connection: Connection) -> None:
    connection.unread(480_000)
    connection.protocol.on_response_complete()
    for left in (300_000, 40_000, 0):
        connection.unread(left)
        connection.time_is_over()
        assert not connection.closed
    connection.time_is_over()
    assert connection.closed


def test_a_client_that_reads_no_more_of_an_answer_is_closed(connection: Connection) -> None:
    connection.unread(480_000)
    connection.protocol.on_response_complete()
    connection.time_is_over()
    assert connection.closed
