# SPDX-License-Identifier: Apache-2.0
"""A daemon on a made-up world that keeps an audit log."""

from contextlib import contextmanager
from pathlib import Path

from gpushare.config.settings import Settings
from gpushare.daemon.audit.writer import AuditWriter
from gpushare.model.audit import AuditQuery, Deed
from gpushare.store.audit import Files, Log, Rotation, search, signer
from support.world.session import ME, session


class AuditedDaemon:
    """A daemon on a made-up world, with an audit log."""

    def __init__(self, here, path: Path, copy=lambda _: None) -> None:
        self.here, self.path = here, path
        self.log = Log(
            path,
            now=here.world.clock.now,
            marks=here.store.marks,
            signer=signer(path.parent),
            rotation=Rotation(heads=1000),
            copy=copy,
        )
        self.refused: list[tuple[int, str]] = []
        self.writer = AuditWriter(
            self.log,
            here.parts.bus,
            here.world.clock,
            lambda caller, code: self.refused.append((caller.uid, code)),
        )
        self.settings = Settings(socket=path, state_dir=path.parent, runtime_dir=path.parent)

    def records(self, **query):
        return search(Files(self.path), AuditQuery(last=10_000, **query))

    def actions(self) -> list[str]:
        return [record.action for record in self.records()]

    def events(self, prefix: str = "audit.") -> list[str]:
        return [e.type for e in self.here.store.events.since(0) if e.type.startswith(prefix)]


@contextmanager
def audited_session(world, state: Path, **more):
    with session(world, state) as here:
        kept = AuditedDaemon(here, state / "audit.jsonl", **more)
        kept.writer.start(kept.settings)
        yield kept
        kept.writer.stop()


def deed(
    method="POST", path="/v1/shares", ref="", caller=ME, *, body=None, answer=None, result="ok"
):
    return Deed(method, path, ref, caller, body, answer, result)
