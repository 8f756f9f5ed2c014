# SPDX-License-Identifier: Apache-2.0
"""Restores a backup: proves it, compares it with what is there, and puts it in place.

What is newer than the backup and must not come back or repeat is carried over from the state that
is replaced, as far as that can be read (`merging.py`). The earlier state is kept.
"""

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gpushare.config.announced import LOCK
from gpushare.model.errors import (
    BackupError,
    RestoreRefusedError,
    StateError,
    StateVersionError,
)
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.state.backup import Manifest, RestoreNote, RestoreReport
from gpushare.store.database import Database, newest_schema
from gpushare.store.integrity.commit_mark import mark_paths
from gpushare.store.integrity.examination import examine
from gpushare.store.lock import StateLock
from gpushare.store.shares import Shares

from . import swap
from .archive import STATE, opened
from .merging import Earlier, carried_over

_SHOWN = 5


@dataclass(frozen=True)
class Living:
    """A share with living programs, as the machine has it."""

    share: ShareId
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Here:
    """This machine. `machine`, `gpus`: as in a manifest; `living`: shares with programs."""

    machine: str
    operator: int
    gpus: Collection[GpuId]
    living: Collection[Living]
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Restore:
    """`folder`: of the state. `audit`: the audit log. `by`: who restores. `other_machine`: accept a
    backup of another machine. `runtime`: the daemon's runtime directory. `step` is called at each
    point where a crash may happen.
    """

    folder: Path
    audit: Path
    here: Here
    by: str
    now: datetime
    other_machine: bool = False
    runtime: Path | None = None
    step: swap.Step = lambda _: None

    def look(self, file: Path) -> RestoreReport:
        """What a restore would do; changes nothing. Raises as `run`, but for the daemon."""
        with tempfile.TemporaryDirectory(prefix="gpushare-restore-") as scratch:
            manifest, differences = self._prepare(file, Path(scratch))[:2]
        return RestoreReport(manifest=manifest, differences=differences, aside="", dry_run=True)

    def run(self, file: Path) -> RestoreReport:
        """Raises BackupError, RestoreRefusedError, StateVersionError, DaemonRunningError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = StateLock(self.folder / LOCK)
        try:
            # A restore that was cut short is finished first, so that only one has begun.
            swap.finish(self.folder)
            with _scratch(self.folder) as scratch:
                manifest, differences, state = self._prepare(file, scratch)
                self.step("prepared")
                swap.write(self.folder / swap.NEW, state)
            self.step("written")
            note = self._note(file, manifest)
            swap.begin(self.folder, note, self.step)
            swap.finish(self.folder, self.step)
        finally:
            lock.release()
        return RestoreReport(
            manifest=manifest, differences=differences, aside=note.aside, dry_run=False
        )

    def _prepare(self, file: Path, scratch: Path) -> tuple[Manifest, tuple[str, ...], bytes]:
        manifest, content = opened(file)
        if manifest.schema > newest_schema():
            raise StateVersionError(
                f"{file} was written by a newer gpushare",
                f"version {manifest.version}, schema {manifest.schema}; this gpushare knows schema "
                f"{newest_schema()}",
                "install that version, then restore",
            )
        self._same_machine(file, manifest)
        path = scratch / STATE
        path.write_bytes(content)
        with closing(_proved(file, path)) as database:
            self._check_living(file, database)
            marks = mark_paths("state", self.folder, self.runtime)
            with Earlier.read(self.folder, scratch, marks) as earlier:
                differences = carried_over(database, earlier, manifest, self.audit, self.now)
            differences += tuple(self._differences(database, manifest))
        return manifest, differences, path.read_bytes()

    def _same_machine(self, file: Path, manifest: Manifest) -> None:
        if self.other_machine or manifest.operator != self.here.operator:
            other = not self.other_machine
            because = f"it is of a daemon of uid {manifest.operator}, this is one of uid "
            because += str(self.here.operator)
        elif manifest.gpus and self.here.gpus:
            # GPUs first: a machine that was installed again has another id and the same GPUs.
            other = not set(manifest.gpus) & set(self.here.gpus)
            because = f"it was made on {manifest.host}, which has other GPUs"
        else:
            other = manifest.machine != self.here.machine
            because = f"it was made on {manifest.host}"
        if other:
            raise RestoreRefusedError(
                f"{file} is a backup of another machine",
                because,
                "to take its policy, tokens and shares over: gpushare restore --other-machine",
            )

    def _check_living(self, file: Path, database: Database) -> None:
        """Programs that run in shares which the restored state does not know would not count."""
        holding = {share.id for share in Shares(database).living() if share.state.holds}
        strangers = [living for living in self.here.living if living.share not in holding]
        if strangers:
            named = ", ".join(
                f"{it.share} (processes {', '.join(map(str, it.pids)) or 'unknown'})"
                for it in strangers[:_SHOWN]
            )
            raise RestoreRefusedError(
                f"{file} does not know {len(strangers)} shares whose programs run",
                f"shares {named}{', …' * (len(strangers) > _SHOWN)}",
                "end them first: start the daemon, then gpushare rm -f SHARE",
            )

    def _differences(self, database: Database, manifest: Manifest) -> Iterator[str]:
        living = {it.share for it in self.here.living}
        for share in Shares(database).living():
            if share.state.holds and share.id not in living:
                yield (
                    f"share {share.name} ({share.id}) was {share.state} and has no program now: "
                    "the daemon releases it, unless it is held"
                )
        for name in sorted(manifest.settings.keys() & self.here.settings.keys()):
            then, now = manifest.settings[name], self.here.settings[name]
            if then != now:
                yield f"setting {name} was {then} and is {now}; settings are not restored"

    def _note(self, file: Path, manifest: Manifest) -> RestoreNote:
        aside = self.folder / f"before-restore-{self.now:%Y%m%dT%H%M%S.%f}"
        return RestoreNote(
            at=self.now,
            by=self.by,
            file=str(file),
            created=manifest.created,
            host=manifest.host,
            event=manifest.event,
            aside=str(aside),
        )


def _proved(file: Path, path: Path) -> Database:
    """The unpacked state, in today's schema, with every value read."""
    try:
        database = Database(path)
        damages = examine(database)
    except StateError as error:
        raise BackupError(
            f"{file} cannot be restored", f"its state is damaged: {error.because}", "use another"
        ) from error
    if damages:
        database.close()
        raise BackupError(
            f"{file} cannot be restored",
            "; ".join(map(str, damages[:_SHOWN])),
            "use another backup",
        )
    return database


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = folder / "restore.scratch"
    # What a restore has left that was killed.
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
