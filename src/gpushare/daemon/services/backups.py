# SPDX-License-Identifier: Apache-2.0
"""Implements `model.state.backup.BackupService`: copies the state while the daemon works on it."""

import os
import socket

from msgspec.structs import replace

from gpushare.config.settings import Settings, shown
from gpushare.daemon.access.access import Access
from gpushare.daemon.base.bus import Bus
from gpushare.daemon.base.threads import in_own_thread
from gpushare.daemon.observe.machine import ObservedMachine
from gpushare.hardware.linux.machine_id import machine_digest
from gpushare.hardware.ports import Clock
from gpushare.model.audit import Mark
from gpushare.model.errors import RoleError
from gpushare.model.share import Caller
from gpushare.model.state.backup import FORMAT, Backup, Manifest, RestoreNote
from gpushare.model.version import __version__
from gpushare.store import Store
from gpushare.store.audit import Log
from gpushare.store.backup import STATE, packed


class DaemonBackups:
    """`log` None: no audit log is kept."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        *,
        access: Access,
        machine: ObservedMachine,
        log: Log | None,
        settings: Settings | None,
    ) -> None:
        self._store, self._bus, self._clock = store, bus, clock
        self._access, self._machine = access, machine
        self._log, self._settings = log, settings

    async def make(self, caller: Caller) -> Backup:
        """Raises RoleError, StateError."""
        if not self._access.all(caller):
            raise RoleError(
                "backups are for operators",
                "they contain the shares and tokens of all users",
                "ask an operator of this machine",
            )
        # The event and the signed record come first, so that the copy contains them.
        self._bus.publish("state.backed_up", f"by uid {caller.uid}")
        mark, key = self._signed()
        manifest = self._manifest(mark, key)
        return await in_own_thread(self._copy, manifest)

    def _signed(self) -> tuple[Mark | None, str]:
        if self._log is None:
            return None, ""
        self._log.head("backup")
        return self._log.end, self._log.signer.key

    def _manifest(self, mark: Mark | None, key: str) -> Manifest:
        return Manifest(
            format=FORMAT,
            version=__version__,
            schema=0,
            created=self._clock.now(),
            host=socket.gethostname(),
            machine=machine_digest(),
            operator=os.geteuid(),
            gpus=tuple(gpu.uuid for gpu in self._machine.latest.gpus),
            counts={},
            event=self._store.events.last(),
            audit=mark,
            audit_key=key,
            settings=shown(self._settings) if self._settings else {},
            files={},
        )

    def _copy(self, manifest: Manifest) -> Backup:
        state, counts, schema = self._store.copy()
        complete = replace(manifest, counts=counts, schema=schema)
        manifest, archive = packed(complete, {STATE: state})
        return Backup(manifest=manifest, archive=archive)


def restored_message(note: RestoreNote) -> str:
    """What the event says of a restore."""
    return (
        f"by {note.by} from {note.file}, made on {note.host} at {note.created:%Y-%m-%d %H:%M:%S}Z "
        f"with event {note.event}; the earlier state is in {note.aside}"
    )
