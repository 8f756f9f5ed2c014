# SPDX-License-Identifier: Apache-2.0
"""What a verification says while limits of the share are escaped. Pure.

The probe is one well-behaved program more: it cannot see that another one runs past the limits.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gpushare.model.escape import EscapeCause
from gpushare.model.promise import Promise, while_escaped
from gpushare.model.share import Decision, Finding, Level, Trial, Verification


def with_escapes(
    verification: Verification,
    decision: Decision,
    stack: Sequence[Promise],
    causes: Iterable[EscapeCause],
) -> Verification:
    """As it is without causes; else the dimensions that they concern are not delivered."""
    causes = tuple(causes)
    holds = while_escaped(decision.enforcement, stack, causes)
    findings = tuple(
        _overruled(finding, getattr(holds, finding.dimension), causes)
        for finding in verification.findings
    )
    ok = verification.ok and holds == decision.enforcement
    return replace(verification, ok=ok, findings=findings)


def _overruled(finding: Finding, level: Level, causes: Sequence[EscapeCause]) -> Finding:
    concerned = [c for c in causes if finding.dimension in c.kind.dimensions]
    if not concerned or level.at_least(finding.promised):
        return finding
    # Of what the probe could not try, the escape is the only evidence.
    if finding.delivered is not None and level.at_least(finding.delivered):
        return finding
    evidence = "; ".join(dict.fromkeys(cause.text for cause in concerned))
    return replace(finding, delivered=level, evidence=evidence, trial=Trial.TRIED)
