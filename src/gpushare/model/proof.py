# SPDX-License-Identifier: Apache-2.0
"""What the newest look at a living share's limits found: a proof by reading, not by trying.

A verification tries the limits with a probe. A proof reads what they depend on, so that it disturbs
no program and can be repeated while programs run.
"""

from datetime import datetime

from .value import Value


class ProofCheck(Value):
    """`ok` None: it could not be read. `evidence`: what was found instead, or why not."""

    name: str
    ok: bool | None
    evidence: str = ""


class Proof(Value):
    at: datetime
    checks: tuple[ProofCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that is not as it should be."""
        return not self.failures

    @property
    def failures(self) -> tuple[ProofCheck, ...]:
        return tuple(check for check in self.checks if check.ok is False)

    @property
    def text(self) -> str:
        """What was found, one sentence without an end; "" if all is as it should be."""
        return "; ".join(f"{check.name}: {check.evidence}" for check in self.failures)
