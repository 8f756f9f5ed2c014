# SPDX-License-Identifier: Apache-2.0
"""What a daemon can be asked: the daemon implements it, the API serves it."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from gpushare.model.access.token import Identity, TokenService
from gpushare.model.operations.service import OperationsService
from gpushare.model.policy.view import RulesService

from .audit import AuditService
from .event import Event
from .leftover import LeftoverService
from .profile import ProfileService
from .share import Caller, State, Verification
from .spec import ShareSpec
from .state.backup import BackupService
from .state.program_end import ProgramEndReport
from .units import Seconds
from .view import (
    CreateRequest,
    DecisionView,
    EnterRequest,
    Entry,
    GpuView,
    MigrateRequest,
    Plan,
    ResumeRequest,
    ShareView,
    SuspendRequest,
    UpdateRequest,
    VersionView,
)


class Service(Protocol):
    """Methods raise errors of `model.errors`. `ref` is read as `model.ids.parse_ref` says."""

    @property
    def tokens(self) -> TokenService: ...

    @property
    def identity(self) -> Identity: ...

    @property
    def rules(self) -> RulesService: ...

    @property
    def audit(self) -> AuditService: ...

    @property
    def leftovers(self) -> LeftoverService: ...

    @property
    def backups(self) -> BackupService: ...

    @property
    def operations(self) -> OperationsService: ...

    @property
    def profiles(self) -> ProfileService: ...

    async def create(self, request: CreateRequest, caller: Caller) -> ShareView:
        """A share that is granted or queued; NoCapacityError if it may not wait."""
        ...

    async def plan(self, spec: ShareSpec, caller: Caller) -> Plan:
        """Where a share would be placed now, or what it would wait for; changes nothing."""
        ...

    async def shares(self, caller: Caller, *, ended: bool = False) -> Sequence[ShareView]:
        """In order of arrival; `ended`: those that have ended too, as far as they are kept."""
        ...

    async def show(self, ref: str, caller: Caller) -> ShareView:
        """One share, as the caller may see it; NoSuchShareError."""
        ...

    async def wait(
        self, ref: str, states: Sequence[State], timeout: Seconds | None, caller: Caller
    ) -> ShareView:
        """Return when the share is in one of the states or has ended; else WaitTimeoutError."""
        ...

    async def enter(self, ref: str, request: EnterRequest, caller: Caller) -> Entry:
        """Make a process of the caller a member; what it must set before it uses a GPU."""
        ...

    async def environment(self, ref: str, preload: str, caller: Caller) -> Entry:
        """What a process sets before it uses a GPU; no process enters the share."""
        ...

    async def suspend(self, ref: str, request: SuspendRequest, caller: Caller) -> ShareView:
        """Take the share's programs off the GPU and give up its room."""
        ...

    async def resume(self, ref: str, request: ResumeRequest, caller: Caller) -> ShareView:
        """Put them back; NoCapacityError while others have the room."""
        ...

    async def migrate(self, ref: str, request: MigrateRequest, caller: Caller) -> ShareView:
        """Move the share's programs to other GPUs of the same model."""
        ...

    async def update(self, ref: str, request: UpdateRequest, caller: Caller) -> ShareView:
        """Change the share while it lives."""
        ...

    async def decision(self, ref: str, caller: Caller) -> DecisionView:
        """How the share's place was decided; NotFoundError when that is not kept."""
        ...

    async def remove(self, ref: str, caller: Caller, *, force: bool = False) -> ShareView:
        """End the share; ConflictError while programs run, unless `force` ends them.

        A share that has ended is forgotten, with its output.
        """
        ...

    async def program_ended(self, ref: str, report: ProgramEndReport, caller: Caller) -> ShareView:
        """How a detached program ended, from the process that is its parent."""
        ...

    async def verify(self, ref: str, caller: Caller) -> Verification:
        """Probe the share now, and record the result; ConflictError while it is suspended."""
        ...

    async def gpus(self, caller: Caller) -> Sequence[GpuView]:
        """The GPUs, with processes as far as the caller may see them."""
        ...

    async def version(self, caller: Caller) -> VersionView:
        """Versions of daemon and driver, and the daemon's pid."""
        ...

    def events(self, since: int, caller: Caller) -> AsyncIterator[Event]:
        """Every event after `since`, then the ones to come."""
        ...

    async def metrics(self, caller: Caller) -> bytes:
        """Prometheus text."""
        ...
