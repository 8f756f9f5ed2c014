# SPDX-License-Identifier: Apache-2.0
"""Requests over the daemon's unix socket: as fast as it answers, or at a fixed rate.

One thread and one selector, so that the generator costs little of the machine that both share.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_READ = 1 << 18
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "


def request(
    path: str, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] = {}
) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Answers:
    """`latencies` in seconds, from when each request was due; `statuses`: how often each came."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    body: bytes = b""

    def count(self, status: int, latency: float) -> None:
        self.latencies.append(latency)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Connection:
    """A kept connection with at most one request on the way."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self._bytes = bytearray()
        self._needed = 0
        self.due = 0.0

    def send(self, raw: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(raw)

    def receive(self) -> tuple[int, bytes] | None:
        """Status and body once all of the answer is there."""
        part = self.socket.recv(_READ)
        if not part:
            raise ConnectionError("the daemon closed the connection")
        self._bytes += part
        if not self._needed and (end := self._bytes.find(_END_OF_HEAD)) >= 0:
            self._needed = end + len(_END_OF_HEAD) + _body_length(bytes(self._bytes[:end]))
        if not self._needed or len(self._bytes) < self._needed:
            return None
        return self._taken()

    def _taken(self) -> tuple[int, bytes]:
        whole = bytes(self._bytes[: self._needed])
        del self._bytes[: self._needed]
        self._needed = 0
        return int(whole[9:12]), whole.partition(_END_OF_HEAD)[2]


def _body_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    return 0


def once(path: str, raw: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = Connection(path)
    try:
        connection.send(raw, 0.0)
        while (answer := connection.receive()) is None:
            pass
        return answer
    finally:
        connection.socket.close()


class Generator:
    """`connections`: how many requests may be on the way at once."""

    def __init__(self, path: str, connections: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._idle = [Connection(path) for _ in range(connections)]
        for connection in self._idle:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def closed(self, raw: bytes, seconds: float) -> Answers:
        """A new request on each connection as soon as the last one is answered."""
        answers, begun = Answers(), time.monotonic()
        while self._idle:
            self._idle.pop().send(raw, time.monotonic())
        while (now := time.monotonic()) < begun + seconds:
            for connection, answer in self._ready(0.1):
                self._count(answers, connection, answer)
                self._idle.pop().send(raw, time.monotonic())
        answers.seconds = now - begun
        self._drain()
        return answers

    def open(self, raw: bytes, rate: float, seconds: float) -> Answers:
        """`rate` a second, whatever the daemon does; one that finds no connection waits."""
        answers, begun, count = Answers(), time.monotonic(), int(rate * seconds)
        due = deque(begun + number / rate for number in range(count))
        while len(answers.latencies) < count:
            now = time.monotonic()
            while due and self._idle and due[0] <= now:
                self._idle.pop().send(raw, due.popleft())
            rest = max(0.0, due[0] - now) if due and self._idle else 0.1
            for connection, answer in self._ready(rest):
                self._count(answers, connection, answer)
        answers.seconds = time.monotonic() - begun
        return answers

    def close(self) -> None:
        for connection in self._idle:
            connection.socket.close()
        self._selector.close()

    def _ready(self, seconds: float) -> Iterator[tuple[Connection, tuple[int, bytes]]]:
        for key, _ in self._selector.select(seconds):
            connection: Connection = key.data
            if (answer := connection.receive()) is not None:
                self._idle.append(connection)
                yield connection, answer

    def _count(self, answers: Answers, connection: Connection, answer: tuple[int, bytes]) -> None:
        answers.count(answer[0], time.monotonic() - connection.due)
        answers.body = answer[1]

    def _drain(self) -> None:
        """Take the answers that are on the way."""
        waiting = len(self._selector.get_map()) - len(self._idle)
        while waiting:
            waiting -= sum(1 for _ in self._ready(1.0))


def summary(answers: Answers, cpu_seconds: float) -> dict[str, Any]:
    return {
        "requests": len(answers.latencies),
        "statuses": {str(status): count for status, count in sorted(answers.statuses.items())},
        "per_second": round(answers.rate, 1),
        "p50_ms": round(answers.percentile(0.5), 2),
        "p99_ms": round(answers.percentile(0.99), 2),
        "body_bytes": len(answers.body),
        "daemon_cpu_ms_per_request": round(1000 * cpu_seconds / len(answers.latencies), 3),
    }
