# SPDX-License-Identifier: Apache-2.0
"""A copy of the daemon's state in one file, and what restoring it does."""

from datetime import datetime
from typing import Protocol

from gpushare.model.audit import Mark
from gpushare.model.ids import GpuId
from gpushare.model.share import Caller
from gpushare.model.value import Value

FORMAT = 1  # of the file; raised when an older gpushare could not read it


class BackupPart(Value):
    """One file in the backup. `size`: bytes; `sha256`: of its content, in hex."""

    size: int
    sha256: str


class Manifest(Value):
    """What a backup contains and where it was made.

    `schema`: of its state.db. `machine`: a digest of the machine's id, empty if it has none.
    `operator`: the uid of the daemon. `counts`: rows by table. `event`: the number of the newest
    event. `audit`: the signed record at which it was made, `audit_key`: the key that signed it.
    `settings`: those of the daemon, for comparison; a restore does not change them.
    """

    format: int
    version: str
    schema: int
    created: datetime
    host: str
    machine: str
    operator: int
    gpus: tuple[GpuId, ...]
    counts: dict[str, int]
    event: int
    audit: Mark | None
    audit_key: str
    settings: dict[str, str]
    files: dict[str, BackupPart]


class Backup(Value):
    """`archive`: the content of the file."""

    manifest: Manifest
    archive: bytes


class RestoreNote(Value):
    """That a state was restored: what the next daemon reports. `aside`: where the earlier is."""

    at: datetime
    by: str
    file: str
    created: datetime
    host: str
    event: int
    aside: str


class RestoreReport(Value):
    """What a restore has done, or would do. `differences`: one sentence each."""

    manifest: Manifest
    differences: tuple[str, ...]
    aside: str
    dry_run: bool


class BackupService(Protocol):
    """Raises RoleError for those who are no operators."""

    async def make(self, caller: Caller) -> Backup: ...
