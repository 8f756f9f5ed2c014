# SPDX-License-Identifier: Apache-2.0
"""Running gpushare-probe."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from gpushare.model.value import Value


class ProbeRun(Value):
    """How a probe ended: its JSON text, or why there is none."""

    report: bytes = b""
    failure: str = ""


class Probe(Protocol):
    def run(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> ProbeRun:
        """Run gpushare-probe to its end as a program of a share would run; GuardMissingError.

        `env` is its whole environment. `cgroup`: the name of the control group it starts in.
        """
        ...

    def hold(
        self, args: Sequence[str], env: Mapping[str, str], uid: int, gid: int, cgroup: str | None
    ) -> AbstractContextManager[ProbeRun]:
        """As `run`, and the probe keeps its contexts until the block is left."""
        ...
