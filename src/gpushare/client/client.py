# SPDX-License-Identifier: Apache-2.0
"""A typed client of the daemon's API."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from gpushare.config.address import Remote
from gpushare.config.sources import load
from gpushare.model.errors import (
    DaemonUnreachableError,
    ErrorBody,
    NoSuchShareError,
    ProtocolError,
    WaitTimeoutError,
    from_body,
)
from gpushare.model.event import Event
from gpushare.model.ids import path_segment
from gpushare.model.leftover import (
    Cleaned,
    CleanReport,
    CleanRequest,
    Leftover,
    LeftoverList,
)
from gpushare.model.share import State, Verification
from gpushare.model.spec import ShareSpec
from gpushare.model.state.backup import Backup
from gpushare.model.state.program_end import ProgramEndReport
from gpushare.model.units import Seconds
from gpushare.model.value import Value
from gpushare.model.view import (
    MOVE_SECONDS,
    CreateRequest,
    DecisionView,
    EnterRequest,
    Entry,
    GpuList,
    GpuView,
    MigrateRequest,
    Plan,
    ResumeRequest,
    ShareList,
    ShareView,
    SuspendRequest,
    UpdateRequest,
    VersionView,
)

from .audit import AuditCalls
from .connection import answer
from .operations import OperationCalls
from .paths import segment
from .policy import PolicyCalls
from .reconnect import Reconnect
from .retry import retried
from .tokens import TokenCalls

T = TypeVar("T")
_LOOK_SECONDS = 30.0
_ACT_SECONDS = 300.0  # a first grant may verify the mechanism before it answers
_POLL_SECONDS = Seconds(60)
_SILENT_SECONDS = 60.0  # a daemon with nothing to report says so every 15 seconds
_BAD = 400
_ENDED = (
    "the daemon has ended the stream of events",
    "it is stopping",
    "start one: gpushare daemon --detach",
)


class Client:
    """Calls raise the errors of `model.errors`. `ref` is read as `model.ids.parse_ref` says.

    `where`: the daemon's socket, or an address with a token. Default: the daemon that the command
    line uses. A client keeps no connection open between calls, so it survives a restart of the
    daemon, and several threads can use it.
    """

    def __init__(self, where: Path | str | Remote | None = None) -> None:
        self.where = Path(where) if isinstance(where, str) else where or load().reachable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: there is no open connection."""

    def create(self, request: CreateRequest) -> ShareView:
        """Create a share, granted or queued. Raises NoCapacityError if it may not wait."""
        return self._act("POST", "/v1/shares", ShareView, request)

    def plan(self, spec: ShareSpec) -> Plan:
        """Where a share would be placed, or what it would wait for."""
        return self._act("POST", "/v1/plan", Plan, spec)

    def shares(self, *, ended: bool = False) -> Sequence[ShareView]:
        """Shares in order of creation; `ended`: include ended ones."""
        query = {"ended": "true"} if ended else {}
        return self._look("/v1/shares", ShareList, query).items

    def show(self, ref: str) -> ShareView:
        """One share. Raises NoSuchShareError."""
        return self._look(_share(ref), ShareView)

    def decision(self, ref: str) -> DecisionView:
        """The placement decision of the share, and today's."""
        return self._look(_share(ref, "/decision"), DecisionView)

    def wait(self, ref: str, states: Sequence[State], timeout: Seconds | None = None) -> ShareView:
        """Wait until the share is in one of the states or has ended. Raises WaitTimeoutError."""
        while timeout is None:
            try:
                return self.wait(ref, states, _POLL_SECONDS)
            except WaitTimeoutError:
                continue
        # The daemon answers at the timeout; the connection waits a little longer.
        query = {"for": ",".join(states), "timeout": str(timeout)}
        answer_timeout = timeout + _LOOK_SECONDS
        return self._call(
            "GET", _share(ref, "/wait"), ShareView, query=query, timeout=answer_timeout
        )

    def enter(self, ref: str, request: EnterRequest) -> Entry:
        """Add a process to the share; returns what it must set before it uses a GPU."""
        return self._act("POST", _share(ref, "/enter"), Entry, request)

    def environment(self, ref: str, preload: str = "") -> Entry:
        """What a process must set before it uses a GPU; no process enters the share."""
        query = {"preload": preload} if preload else {}
        target = _share(ref, "/environment")
        return self._call("GET", target, Entry, query=query, timeout=_ACT_SECONDS)

    def remove(self, ref: str, *, force: bool = False) -> ShareView:
        """Release the share. Raises ConflictError while programs run; `force` ends them.

        A share that has ended is forgotten, with its output.
        """
        query = {"force": "true"} if force else {}
        return self._call("DELETE", _share(ref), ShareView, query=query, timeout=_ACT_SECONDS)

    def program_ended(self, ref: str, report: ProgramEndReport) -> ShareView:
        """Say how a detached program ended; only its supervisor knows."""
        return self._act("POST", _share(ref, "/program-ended"), ShareView, report)

    def suspend(
        self, ref: str, *, deep: bool = False, timeout: Seconds = MOVE_SECONDS
    ) -> ShareView:
        """Move the share's memory off the GPU and stop its programs until `resume`.

        `deep`: use the driver's checkpoint, which frees contexts too. Raises NotSuspendableError,
        HostMemoryError, MoveTimeoutError, MoveFailedError; the share is unchanged then.
        """
        request = SuspendRequest(deep=deep, timeout=timeout)
        answer_timeout = timeout + _ACT_SECONDS
        target = _share(ref, "/suspend")
        return self._call("POST", target, ShareView, body=request, timeout=answer_timeout)

    def resume(self, ref: str, *, timeout: Seconds = MOVE_SECONDS) -> ShareView:
        """Move it back to the same addresses. Raises NoCapacityError if the GPU has no room."""
        request, answer_timeout = ResumeRequest(timeout=timeout), timeout + _ACT_SECONDS
        target = _share(ref, "/resume")
        return self._call("POST", target, ShareView, body=request, timeout=answer_timeout)

    def migrate(
        self, ref: str, to: Sequence[str] = (), *, timeout: Seconds = MOVE_SECONDS
    ) -> ShareView:
        """Move the share's programs to the GPUs `to`. Default: the best of the same model.

        Raises NotMigratableError, NoCapacityError, MoveTimeoutError, MoveFailedError.
        """
        request, answer_timeout = (
            MigrateRequest(to=tuple(to), timeout=timeout),
            timeout + _ACT_SECONDS,
        )
        target = _share(ref, "/migrate")
        return self._call("POST", target, ShareView, body=request, timeout=answer_timeout)

    def update(self, ref: str, request: UpdateRequest) -> ShareView:
        """Change a live share. Absent fields of the request stay as they are."""
        return self._act("PATCH", _share(ref), ShareView, request)

    def verify(self, ref: str) -> Verification:
        """Test whether the share's limits hold."""
        return self._act("POST", _share(ref, "/verify"), Verification)

    @property
    def rules(self) -> PolicyCalls:
        """Calls about tenants, quotas and the policy."""
        return PolicyCalls(self._call)

    @property
    def audit(self) -> AuditCalls:
        """Calls about the audit log."""
        return AuditCalls(self._call)

    @property
    def tokens(self) -> TokenCalls:
        """Calls about tokens and logins."""
        return TokenCalls(self._call)

    @property
    def operations(self) -> OperationCalls:
        """Calls that operate the daemon and its machine."""
        return OperationCalls(self._call)

    def gpus(self) -> Sequence[GpuView]:
        """The GPUs of the daemon's machine, with the processes that the caller may see."""
        return self._look("/v1/gpus", GpuList).items

    def leftovers(self) -> Sequence[Leftover]:
        """Leftovers on the machine; for operators."""
        return self._look("/v1/leftovers", LeftoverList).items

    def clean(self, request: CleanRequest) -> Sequence[Cleaned]:
        """Remove leftovers of gpushare and end the named processes; for operators."""
        return self._act("POST", "/v1/leftovers/clean", CleanReport, request).items

    def backup(self) -> Backup:
        """A copy of the daemon's state, as the content of a file; for operators."""
        return self._act("POST", "/v1/backup", Backup)

    def version(self) -> VersionView:
        """The versions of daemon and driver."""
        return self._look("/v1/version", VersionView)

    def metrics(self) -> str:
        """Prometheus text."""
        with answer(self.where, "GET", "/v1/metrics", timeout=_LOOK_SECONDS) as response:
            return response.read().decode()

    def events(self, since: int = 0, *, reconnect: Reconnect | None = None) -> Iterator[Event]:
        """Stored events after `since`, then new ones, each once, without an end.

        A daemon that goes away is waited for, by default as long as the setting
        `reconnect_timeout` says; then raises DaemonUnreachableError.
        """
        again = reconnect or Reconnect(load().settings.reconnect_timeout)
        while True:
            away = DaemonUnreachableError(*_ENDED)
            try:
                for event in self._stream(since):
                    again.here()
                    if event is not None:
                        since = event.seq
                        yield event
            except DaemonUnreachableError as error:
                away = error
            again.gone(away)

    def _stream(self, since: int) -> Iterator[Event | None]:
        """The events of one connection, and None for each sign that the daemon is there."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(since)}
        with answer(
            self.where, "GET", "/v1/events", headers=headers, timeout=_SILENT_SECONDS
        ) as response:
            # An error is a JSON document, not a stream.
            if response.status >= _BAD:
                raise _refusal(_document(response.read()))
            for line in response:
                if not line.endswith(b"\n"):  # the daemon was killed while it wrote
                    return
                if line.startswith(b"data: "):
                    yield msgspec.json.decode(line[len(b"data: ") :], type=Event)
                elif line.startswith(b":"):
                    yield None

    def _look(self, target: str, kind: type[T], query: Mapping[str, str] = {}) -> T:
        return self._call("GET", target, kind, query=query, timeout=_LOOK_SECONDS)

    def _act(self, method: str, target: str, kind: type[T], body: Value | None = None) -> T:
        return self._call(method, target, kind, body=body, timeout=_ACT_SECONDS)

    def _call(
        self,
        method: str,
        target: str,
        kind: type[T],
        *,
        timeout: float,
        query: Mapping[str, str] = {},
        body: Value | None = None,
    ) -> T:
        sent = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if sent else {}

        def attempt() -> T:
            with answer(
                self.where, method, target, query=query, body=sent, headers=headers, timeout=timeout
            ) as response:
                document, status = _document(response.read()), response.status
            if status >= _BAD:
                raise _refusal(document)
            return _value(document, kind)

        return retried(attempt)


def _share(ref: str, act: str = "") -> str:
    missing = NoSuchShareError(f"no share {ref!r}", hint="gpushare ps -a")
    return f"/v1/shares/{segment(path_segment(ref), missing)}{act}"


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _not_understood(str(error)) from error
    if (version := document.get("apiVersion")) != "v1":
        raise _not_understood(f"it has API version {version}")
    return document


def _value(document: dict[str, Any], kind: type[T]) -> T:
    # Every answer has apiVersion, but only VersionView has a field for it.
    if "apiVersion" not in getattr(kind, "__struct_fields__", ()):
        document = {name: value for name, value in document.items() if name != "apiVersion"}
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _not_understood(str(error)) from error


def _refusal(document: dict[str, Any]) -> Exception:
    return from_body(_value(document["error"], ErrorBody) if "error" in document else _NO_BODY)


_NO_BODY = ErrorBody(ProtocolError.code, "the daemon refused the request without a reason")


def _not_understood(because: str) -> ProtocolError:
    return ProtocolError(
        "cannot read the daemon's answer", because, "compare the versions: gpushare version"
    )
