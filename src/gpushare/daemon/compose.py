# SPDX-License-Identifier: Apache-2.0
"""Builds the parts of one daemon. Nothing else does.

Each property makes one part and gives it the parts it uses; a part is made when it is first needed,
and once. So what a part depends on is what its property names, and no part reaches through another.
The parts below access (observation, acts, policies, placement, the loop) are in `loop_parts`, so
that both files stay readable; a daemon is always built as `Parts`.
"""

from collections.abc import Hashable
from functools import cached_property, partial
from pathlib import Path

from gpushare.config.settings import Scrub, Settings
from gpushare.daemon.access.accounts import AccountDirectory, Accounts, SystemDirectory
from gpushare.daemon.access.oidc import Issuer, IssuerSettings
from gpushare.daemon.access.tokens import AccessTokens
from gpushare.daemon.access.visibility import VisibilityFilter
from gpushare.daemon.acts.scrubber import Scrubber
from gpushare.daemon.audit.audit_service import DaemonAudit
from gpushare.daemon.audit.forward import forwarder
from gpushare.daemon.audit.writer import AuditWriter
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.fresh import Fresh
from gpushare.daemon.base.lifetime import DaemonLifetime
from gpushare.daemon.loop.migration import Migration
from gpushare.daemon.loop.start_comparison import StartComparison
from gpushare.daemon.services.admission import Admission
from gpushare.daemon.services.backups import DaemonBackups
from gpushare.daemon.services.cordons import DaemonCordons
from gpushare.daemon.services.entering import Entering
from gpushare.daemon.services.leftovers import DaemonLeftovers
from gpushare.daemon.services.machine_service import DaemonMachine
from gpushare.daemon.services.metrics import Metrics
from gpushare.daemon.services.operations import DaemonOperations
from gpushare.daemon.services.policy_service import DaemonPolicy
from gpushare.daemon.services.profile_service import DaemonProfiles
from gpushare.daemon.services.readiness import Readiness
from gpushare.daemon.services.reload import DaemonReload
from gpushare.daemon.services.service import DaemonService
from gpushare.daemon.services.share_views import ShareViews
from gpushare.daemon.services.streams import MOST_SEARCHES, MOST_STREAMS, LongCalls
from gpushare.hardware.ports import Clock
from gpushare.store import Act, Store
from gpushare.store.audit import Log, Rotation, signer

from .idle_end import IdleEnd
from .listeners import certificate
from .loop_parts import LoopParts


class Parts(LoopParts):
    # Access
    @cached_property
    def directory(self) -> AccountDirectory:
        return SystemDirectory()

    @cached_property
    def accounts(self) -> Accounts:
        found = Accounts(self.access.operator, self.directory, self.ports.clock.elapsed)
        if self.live:
            found.put_groups(self.live.now.operators, self.live.now.viewers)
            self.live.follow(lambda new: found.put_groups(new.operators, new.viewers))
        return found

    @cached_property
    def issuer(self) -> Issuer | None:
        """Raises ConfigError if the package for it is not installed."""
        if self._settings is None or not self._settings.oidc_issuer:
            return None
        return Issuer(issuer_settings(self._settings), self.ports.clock.elapsed)

    @cached_property
    def tokens(self) -> AccessTokens:
        return AccessTokens(self.store, self.accounts, self.bus, self.ports.clock, self.issuer)

    @cached_property
    def visibility(self) -> VisibilityFilter:
        return VisibilityFilter(self.store, self.ports.processes, self.access)

    @cached_property
    def migration(self) -> Migration:
        return Migration(
            self.executor,
            self.transitions,
            machine=self.machine,
            observer=self.observer,
            placement=self.placement,
        )

    @cached_property
    def start_comparison(self) -> StartComparison:
        return StartComparison(
            self.store,
            self.ports,
            self.bus,
            unknown=self.unknown,
            forget=lambda share: self.executor.forget(share.id),
        )

    # Audit

    @cached_property
    def audit_writer(self) -> AuditWriter | None:
        """None without settings.

        Raises DaemonRunningError, DeniedError, StateError: no daemon runs without its audit log.
        """
        if self._settings is None:
            return None
        log = audit_log(self._settings, self.store, self.ports.clock, self.bus)
        if self.live:
            self.live.follow(lambda new: setattr(log, "rotation", rotation(new)))
        return AuditWriter(log, self.bus, self.ports.clock, self.monitor.refused)

    @cached_property
    def audit(self) -> DaemonAudit:
        writer = self.audit_writer
        searches = LongCalls("searches of the audit log", MOST_SEARCHES)
        return DaemonAudit(writer.log if writer else None, self.store.shares.of, searches.one)

    # Services

    @cached_property
    def leftovers(self) -> DaemonLeftovers:
        return DaemonLeftovers(
            self.store,
            self.ports,
            self.bus,
            acts=self.acts,
            access=self.access,
            machine=self.machine,
            observer=self.observer,
            processes=self.processes,
            signalling=self.signalling,
            unknown=self.unknown,
        )

    @cached_property
    def backups(self) -> DaemonBackups:
        writer = self.audit_writer
        return DaemonBackups(
            self.store,
            self.bus,
            self.ports.clock,
            access=self.access,
            machine=self.machine,
            log=writer.log if writer else None,
            settings=self._settings,
        )

    @cached_property
    def policy(self) -> DaemonPolicy:
        return DaemonPolicy(
            self.store,
            self.bus,
            self.ports.clock,
            access=self.access,
            directory=self.directory,
            mechanisms=self.ports.mechanisms,
            machine=self.machine,
            placement=self.placement,
        )

    @cached_property
    def lifetime(self) -> DaemonLifetime:
        return DaemonLifetime()

    @cached_property
    def idle_end(self) -> IdleEnd:
        live = self.live
        assert live is not None
        return IdleEnd(
            self.store,
            self.bus,
            self.ports.clock,
            lifetime=self.lifetime,
            executor=self.executor,
            patience=lambda: live.now.auto_stop_after,
        )

    @cached_property
    def admission(self) -> Admission:
        return Admission(
            self.store,
            self.bus,
            self.ports.clock,
            self.policy.tenant_of,
            machine=self.machine,
            processes=self.processes,
            executor=self.executor,
            placement=self.placement,
            lifetime=self.lifetime,
        )

    @cached_property
    def entering(self) -> Entering:
        return Entering(
            self.ports,
            self.access,
            machine=self.machine,
            processes=self.processes,
            executor=self.executor,
            escapes=self.escapes,
            readiness=self.readiness,
            acts=self.acts,
            memory_turns=self.memory_turns,
        )

    @cached_property
    def readiness(self) -> Readiness:
        return Readiness(
            self.store,
            self.ports,
            observer=self.observer,
            executor=self.executor,
            escapes=self.escapes,
            processes=self.processes,
        )

    @cached_property
    def views(self) -> ShareViews:
        return ShareViews(
            self.machine,
            observer=self.observer,
            processes=self.processes,
            placement=self.placement,
            idle=self.idle,
            escapes=self.escapes,
            releasing=partial(self.store.intents.shares, Act.RELEASE),
            version=self.version,
            clock=self.ports.clock,
        )

    def version(self) -> Hashable:
        """Differs when something has changed that views show."""
        return (
            self.store.generation,
            self.machine.generation,
            self.observer.generation,
            self.processes.generation,
        )

    @cached_property
    def figures(self) -> Metrics:
        return Metrics(
            self.core,
            self.observer,
            self.anomalies,
            self.ports.clock,
            access=self.access,
            version=self.version,
        )

    @cached_property
    def reloading(self) -> DaemonReload:
        return DaemonReload(self.live, self._reread, self.bus, certificate)

    @cached_property
    def cordons(self) -> DaemonCordons:
        return DaemonCordons(
            self.store,
            self.ports,
            self.bus,
            machine=self.machine,
            placement=self.placement,
        )

    @cached_property
    def operations(self) -> DaemonOperations:
        return DaemonOperations(self.reloading, self.cordons, self.access)

    @cached_property
    def scrubber(self) -> Scrubber:
        return Scrubber(
            self.bus,
            self.ports.probe,
            mode=lambda: self.live.now.scrub if self.live else Scrub.NEVER,
            needed=self.ports.not_cleared,
            contexts=self.store.contexts.all,
        )

    @cached_property
    def service(self) -> DaemonService:
        return DaemonService(
            store=self.store,
            bus=self.bus,
            streams=LongCalls("event streams", MOST_STREAMS),
            access=self.access,
            visibility=self.visibility,
            processes=self.processes,
            executor=self.executor,
            verifier=self.verifier,
            termination=self.termination,
            placement=self.placement,
            changes=self.changes,
            migration=self.migration,
            admission=self.admission,
            entering=self.entering,
            escapes=self.escapes,
            ends=self.ends,
            views=self.views,
            lists=Fresh(self.ports.clock, self.version),
            machine=DaemonMachine(
                self.store,
                self.ports,
                self.machine,
                self.visibility,
                lifetime=self.lifetime,
                notices=lambda: (*self.start_comparison.notices(), *self.leftovers.notices()),
            ),
            figures=self.figures,
            identity=self.tokens,
            tokens=self.tokens,
            rules=self.policy,
            audit=self.audit,
            leftovers=self.leftovers,
            backups=self.backups,
            operations=self.operations,
            profiles=DaemonProfiles(self.store, self.access),
        )


def issuer_settings(settings: Settings) -> IssuerSettings:
    return IssuerSettings(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        client=settings.oidc_client or settings.oidc_audience,
        user_claim=settings.oidc_user_claim,
        role_claim=settings.oidc_role_claim,
        operators=settings.oidc_operators,
    )


def rotation(settings: Settings) -> Rotation:
    return Rotation(size=settings.audit_size, days=settings.audit_days, keep=settings.audit_keep)


def audit_log(settings: Settings, store: Store, clock: Clock, bus: Bus) -> Log:
    """Raises DaemonRunningError, DeniedError, StateError."""

    def report(because: str) -> None:
        bus.publish("audit.forward_failed", f"audit records are not forwarded: {because}")

    return Log(
        audit_path(settings),
        now=clock.now,
        marks=store.marks,
        signer=signer(settings.state_dir),
        rotation=rotation(settings),
        copy=forwarder(settings.audit_copy, report),
    )


def audit_path(settings: Settings) -> Path:
    """The file of the audit log that grows."""
    return settings.audit_file or settings.state_dir / "audit.jsonl"
