# SPDX-License-Identifier: Apache-2.0
"""Shares leave GPUs that are drained: they are moved, suspended, waited for or ended.

Each share is asked once to move and once to be suspended; what refuses is waited for. A share is
there as long as it holds the GPU's room; one that is suspended otherwise than for a memory turn has
left it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpushare.cli._connect import client
from gpushare.cli._format.shares import share_name
from gpushare.model.errors import GpushareError, WaitTimeoutError
from gpushare.model.ids import GpuId, ShareId
from gpushare.model.operations.cordon import NODE
from gpushare.model.share import Cause
from gpushare.model.units import Seconds
from gpushare.model.view import GpuView, ShareView

_LOOK_SECONDS = 0.5  # between two looks at what is left


@dataclass(frozen=True)
class Ways:
    """How shares may be made to leave; none: they are waited for."""

    migrate: bool = False
    suspend: bool = False
    deep: bool = False
    force: bool = False


class Leaving:
    """`report` gets one line for each change. `seconds` None: as long as it takes."""

    def __init__(
        self,
        targets: Sequence[str],
        ways: Ways,
        seconds: Seconds | None,
        *,
        report: Callable[[str], None],
    ) -> None:
        self._targets, self._ways, self._report = targets, ways, report
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._asked: set[ShareId] = set()
        self._ended: set[ShareId] = set()
        self._said = ""

    def run(self, *, wait: bool) -> None:
        """Returns when the GPUs are empty, or without `wait` when every share was asked once.

        Raises WaitTimeoutError, and KeyboardInterrupt after it has reported what stays.
        """
        try:
            while left := self._left():
                self._ask(left)
                if not wait:
                    return
                self._show(left)
                self._check_time(left)
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            self._report(
                f"{_named(self._targets)} stays cordoned; gpushare uncordon offers it again"
            )
            raise
        self._report(f"{_named(self._targets)} is drained: no share is on it")

    def _left(self) -> list[ShareView]:
        gpus = _uuids(client().gpus(), self._targets)
        return [share for share in client().shares() if _there(share, gpus)]

    def _ask(self, left: Sequence[ShareView]) -> None:
        for share in left:
            if share.id not in self._asked:
                self._asked.add(share.id)
                self._leave(share)
            if self._ways.force and self._over() and share.id not in self._ended:
                self._ended.add(share.id)
                self._try(share, "ended", lambda ref: client().remove(ref, force=True))

    def _leave(self, share: ShareView) -> None:
        ways, daemon = self._ways, client()
        if ways.migrate and self._try(share, "moved", daemon.migrate):
            return
        if ways.suspend:
            self._try(share, "suspended", lambda ref: daemon.suspend(ref, deep=ways.deep))

    def _try(self, share: ShareView, done: str, act: Callable[[ShareId], object]) -> bool:
        """Whether it was done; what kept it from it is reported."""
        try:
            act(share.id)
        except GpushareError as error:
            self._report(f"{share_name(share)} was not {done}: {error}")
            return False
        self._report(f"{share_name(share)} was {done}")
        return True

    def _show(self, left: Sequence[ShareView]) -> None:
        names = ", ".join(sorted(share_name(share) for share in left))
        said = (
            f"{_named(self._targets)}: waits for {len(left)} share{'s' * (len(left) > 1)}: {names}"
        )
        if said != self._said:
            self._said = said
            self._report(said)

    def _over(self) -> bool:
        return self._deadline is None or time.monotonic() >= self._deadline

    def _check_time(self, left: Sequence[ShareView]) -> None:
        """Raises WaitTimeoutError, unless what is left is being ended."""
        if self._deadline is None or not self._over() or self._ways.force:
            return
        names = ", ".join(share_name(share) for share in left)
        raise WaitTimeoutError(
            f"{_named(self._targets)} is not empty yet",
            f"{names}; it stays cordoned",
            "end what is left: gpushare drain --force, or offer it again: gpushare uncordon",
        )


def _named(targets: Sequence[str]) -> str:
    if NODE in targets:
        return "the machine"
    return f"GPU {', '.join(targets)}"


def _uuids(gpus: Sequence[GpuView], targets: Sequence[str]) -> set[GpuId]:
    """Of the targets, and of MIG instances on them."""
    chosen = [
        gpu for gpu in gpus if NODE in targets or not {gpu.uuid, str(gpu.index)}.isdisjoint(targets)
    ]
    return {uuid for gpu in chosen for uuid in (gpu.uuid, *gpu.mig)}


def _there(share: ShareView, gpus: set[GpuId]) -> bool:
    away = share.suspension is not None and share.suspension.cause is not Cause.TURN
    return share.state.holds and not away and not gpus.isdisjoint(share.gpus)
