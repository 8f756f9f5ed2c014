# SPDX-License-Identifier: Apache-2.0
"""Reads the audit log from the daemon or, without one, from its files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from gpushare.cli._connect import client, config
from gpushare.model.audit import AuditQuery, AuditReport, Record
from gpushare.model.errors import DaemonUnreachableError, DeniedError, NotFoundError

if TYPE_CHECKING:
    from gpushare.config.settings import Settings


class AuditSource(Protocol):
    """An audit log: the daemon's, or files."""

    def records(self, query: AuditQuery) -> Sequence[Record]: ...

    def every(self, query: AuditQuery) -> Iterator[Record]: ...

    def verify(self, *, partial: bool = False) -> AuditReport: ...

    def heads(self) -> Sequence[Record]: ...

    def sign(self) -> Record | None:
        """Sign everything up to now with a head; None where signing is impossible."""
        ...


def source() -> AuditSource:
    """The daemon's log, or its files when no daemon answers; a message on stderr says so."""
    daemon = client()
    try:
        daemon.version()
    except DaemonUnreachableError:
        settings = config().settings
        if not isinstance(daemon.where, Path) or not settings.audit_file:
            raise
        click.echo(f"gpushare: no daemon answers; reading {settings.audit_file}", err=True)
        return AuditFiles(settings, settings.audit_file)
    return daemon.audit


class AuditFiles:
    """The log's files on this machine."""

    def __init__(self, settings: "Settings", path: Path) -> None:
        from gpushare.store.audit import Files  # noqa: PLC0415 (start-up time)

        self._state, self._path, self._files = settings.state_dir, path, Files(path)

    def records(self, query: AuditQuery) -> Sequence[Record]:
        from gpushare.store.audit import search  # noqa: PLC0415 (start-up time)

        with readable(self._path):
            return search(self._files, query)

    def every(self, query: AuditQuery) -> Iterator[Record]:
        """All matching records, oldest first, in pages."""
        from msgspec.structs import replace  # noqa: PLC0415 (start-up time)

        while records := self.records(replace(query, last=0)):
            yield from records
            query = replace(query, after=records[-1].seq)

    def verify(self, *, partial: bool = False) -> AuditReport:
        from gpushare.store import audit  # noqa: PLC0415 (start-up time)

        with readable(self._path):
            files, end = self._files.all(), audit.remembered(self._state, self._path)
            if not files and end is None:
                raise NotFoundError(f"no audit log at {self._path}", hint="gpushare config show")
            notes = [f"{path} is compressed and was not read" for path in self._files.packed()]
            if end is None:
                notes.append(
                    "the daemon's state could not be read: records at the end may be missing"
                )
            key = audit.public_key(self._state)
            return audit.verify(
                audit.file_lines(files),
                keys=[key] if key else [],
                whole=not partial,
                end=end,
                notes=tuple(notes),
            )

    def heads(self) -> Sequence[Record]:
        return self.records(AuditQuery(action="audit.head"))

    def sign(self) -> None:
        return None


def verified_part(path: Path, keys: Sequence[str], *, partial: bool) -> AuditReport:
    """Verify a copy of a log, or an exported part of one."""
    from gpushare.store import audit  # noqa: PLC0415 (start-up time)

    with readable(path):
        lines, alone = audit.part(path)
        return audit.verify(lines, keys=keys, whole=not (alone or partial))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises DeniedError, NotFoundError."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {error.filename or path}") from error
    except OSError as error:
        raise DeniedError(
            f"cannot read {error.filename or path}",
            error.strerror or str(error),
            "run the command as root",
        ) from error
