# SPDX-License-Identifier: Apache-2.0
"""The state of the daemon: one SQLite file in the state directory, one repository per noun."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from zlib import crc32

from gpushare.config.announced import LOCK
from gpushare.model.errors import DeniedError, StateFullError
from gpushare.store.audit.marks import Marks
from gpushare.store.audit.witness import audited

from . import backup
from .contexts import ContextCosts
from .cordons import Cordons, StoredCordon
from .database import Database
from .decisions import Decisions
from .ended.outputs import Outputs
from .events import Events
from .integrity.commit_mark import CommitMark, mark_paths
from .integrity.losses import find_losses
from .intents import Act, Intent, Intents
from .lock import StateLock
from .policy import Policies
from .profiles import Profiles
from .reserve import Reserve
from .shares import Shares
from .tokens import StoredTokens
from .usage import Charge, Usage
from .verifications import Verifications

__all__ = ["Act", "Charge", "Intent", "Store", "StoredCordon"]


_SETTLE_SECONDS = 60.0
_MOST_LOG = 1024**2  # bytes of the write-ahead log between two passes


class Store:
    """Opened by one daemon at a time.

    `boot`: id of this boot of the machine. `runtime`: a folder that a reboot empties; `audit`: the
    audit log; both know what the state should contain. `accept_loss`: open a file that has lost
    changes or essential rows. `losses`: what was lost, and rows that were put aside. `restored`: a
    restore that no daemon has reported yet.

    Raises DaemonRunningError, StateCorruptError, StateLostError, StateVersionError, StateFullError,
    DeniedError.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        boot: str = "",
        accept_loss: bool = False,
        runtime: Path | None = None,
        audit: Path | None = None,
    ) -> None:
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Before the file is opened: a second daemon must not even migrate the schema.
            self._lock = StateLock(state_dir / LOCK)
        except OSError as error:
            raise DeniedError(
                f"cannot write {state_dir}", str(error), "use --state-dir, or start as root"
            ) from error
        try:
            # A restore that was cut short takes place now, before anything is read.
            backup.finish(state_dir)
            self.restored = backup.noted(state_dir)
            self._reserve = Reserve(state_dir / "state.reserve")
            self._db = Database(state_dir / "state.db", full=self._reserve.give_up)
        except BaseException:
            self._lock.release()
            raise
        self._mark = CommitMark(mark_paths("state", state_dir, runtime), boot)
        # The mark of another log says nothing about this one.
        log = f"{boot}:{crc32(str(audit).encode()):08x}"
        self._audit_mark = CommitMark(mark_paths("audit", state_dir, runtime), log)
        self._settled = 0.0
        self._db.checkpointed = self._mark.sync
        self.audited = audited(audit) if audit else None
        try:
            self.losses = find_losses(
                self._db,
                self._mark,
                self.audited,
                accept=accept_loss,
                restored=self.restored is not None,
            )
            # What is committed must not depend on a second file for longer than necessary.
            self._db.checkpoint()
        except BaseException:
            self.close()
            raise
        self.shares = Shares(self._db)
        self.outputs = Outputs(self._db)
        self.events = Events(self._db, self._mark)
        self.intents = Intents(self._db)
        self.verifications = Verifications(self._db)
        self.contexts = ContextCosts(self._db)
        self.cordons = Cordons(self._db)
        self.policy = Policies(self._db)
        self.usage = Usage(self._db)
        self.decisions = Decisions(self._db)
        self.tokens = StoredTokens(self._db)
        self.profiles = Profiles(self._db)
        self.marks = Marks(self._db, self._audit_mark)

    @property
    def generation(self) -> tuple[int, int, int]:
        """Differs after each change of living shares, of acts on them and of the policy."""
        return (
            self.shares.generation,
            self.intents.generation,
            self.policy.newest().revision,
        )

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing over every repository; one inside another belongs to the outer one."""
        return self._db.transaction()

    def announce(self, socket: Path) -> None:
        """Tell clients of this state directory where its daemon listens."""
        self._lock.announce(socket)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run `call` when the open transaction is committed; at once where none is open."""
        self._db.after_commit(call)

    def checkpoint(self) -> None:
        """Make state.db complete without its write-ahead log, for copies of that file alone."""
        self._db.checkpoint()

    def settle(self, elapsed: float) -> None:
        """Once a pass: bound what state.db lacks without its log, in bytes and in time.

        `elapsed`: seconds on a clock that is not set.
        """
        late = elapsed - self._settled >= _SETTLE_SECONDS
        if late:
            self._settled = elapsed
        self._db.settle(0 if late else _MOST_LOG)

    def forget_restore(self) -> None:
        """The restore is reported."""
        backup.forget(self._db.path.parent)

    def copy(self) -> tuple[bytes, dict[str, int], int]:
        """The state at one moment, rows by table, and its schema; can be called in any thread."""
        return backup.copied(self._db.path)

    def check_room(self) -> None:
        """Raises StateFullError while the disk has no room for more than the end of shares."""
        self._reserve.take()
        if not self._reserve.held:
            raise StateFullError(
                "new shares are refused now",
                f"the disk under {self._db.path.parent} is full",
                f"free space: df -h {self._db.path.parent}",
            )

    def close(self) -> None:
        """Close the file, then release the lock, so that the next daemon finds it closed."""
        self._mark.close()
        self._audit_mark.close()
        self._db.close()
        self._lock.release()
