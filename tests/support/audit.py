# SPDX-License-Identifier: Apache-2.0
"""An audit log on folders of its own, and the daemons that write it one after the other."""

from datetime import UTC, datetime
from pathlib import Path

from gpushare.model.audit import Actor, AuditReport
from gpushare.store.audit import (
    Files,
    Log,
    Marks,
    Rotation,
    file_lines,
    public_key,
    remembered,
    signer,
    verify,
)
from gpushare.store.database import Database

LIN = Actor(user="lin", uid=1000)
START = datetime(2026, 11, 23, tzinfo=UTC)
FEW = Rotation(heads=4)


class AuditFolder:
    def __init__(self, folder: Path, rotation: Rotation = FEW) -> None:
        self.folder, self.rotation = folder, rotation
        self.path = folder / "log" / "audit.jsonl"
        folder.mkdir(exist_ok=True)
        self.now = START
        self._original: list[bytes] = []

    def log(self) -> Log:
        return Log(
            self.path,
            now=lambda: self.now,
            marks=Marks(Database(self.folder / "state.db")),
            signer=signer(self.folder),
            rotation=self.rotation,
        )

    def fill(self, number: int) -> None:
        log = self.log()
        for index in range(number):
            log.append(LIN, "POST /v1/shares", f"share-{index}", detail={"memory": "8 GiB"})
        log.settle()
        log.close()

    def verify(self, **more: bool) -> AuditReport:
        end = remembered(self.folder, self.path)
        lines = file_lines(Files(self.path).all())
        return verify(lines, keys=[public_key(self.folder)], end=end, **more)

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def put(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def original(self) -> list[bytes]:
        """The lines as they were when this was first asked."""
        self._original = self._original or self.lines()
        return list(self._original)
