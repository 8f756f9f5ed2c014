# SPDX-License-Identifier: Apache-2.0
"""`gpushare backup`: a copy of the daemon's state in one file."""

import os
from contextlib import suppress
from pathlib import Path

import click

from gpushare.cli._connect import client
from gpushare.cli._format.output import note
from gpushare.model.errors import DeniedError, UsageError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
def backup(file: Path, *, force: bool) -> None:
    """Copy the state of the daemon to FILE while it runs. For operators.

    The copy is of one moment and contains shares, policy, tokens (as hashes of their secrets) and
    the place where the audit log was. FILE appears when it is complete, with mode 0600. The audit
    log itself and its key are files of their own.

    \b
    gpushare backup /var/backups/gpushare-$(date +%F).zip
    gpushare restore --dry-run /var/backups/gpushare-2026-11-30.zip
    """
    _check(file, force=force)
    copy = client().backup()
    _save(file, copy.archive, force=force)
    counts = copy.manifest.counts
    note(
        f"{file}: {counts.get('shares', 0)} shares, {counts.get('policies', 0)} revisions of the "
        f"policy, {counts.get('tokens', 0)} tokens, {len(copy.archive)} bytes"
    )


def _check(file: Path, *, force: bool) -> None:
    """Before the daemon is asked. Raises UsageError."""
    if file.is_dir() or not file.parent.is_dir():
        raise UsageError(
            f"cannot write {file}",
            "it is a directory" if file.is_dir() else f"there is no directory {file.parent}",
            "gpushare backup --help",
        )
    if file.exists() and not force:
        raise _exists(file)


def _save(file: Path, content: bytes, *, force: bool) -> None:
    """Complete or not at all. Raises UsageError if it exists, DeniedError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        _write(part, content)
        if force:
            part.replace(file)
        else:
            # A link fails where the name exists by now; a rename would replace the file.
            file.hardlink_to(part)
        _sync(file.parent)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise DeniedError(
            f"cannot write {file}", error.strerror or str(error), "choose another place"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(file: Path) -> UsageError:
    return UsageError(f"{file} exists", "a backup replaces no file", "use another name, or --force")
