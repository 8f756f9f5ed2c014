# SPDX-License-Identifier: Apache-2.0
"""Settings that a reload changed, as text."""

from gpushare.model.operations.reload import Effect, ReloadReport

from .fitting import aligned

_NONE = "-"
_EFFECTS = {Effect.NOW: "in force", Effect.RESTART: "needs a restart"}


def reload_text(report: ReloadReport) -> str:
    """A table of the changes, or that there are none."""
    if not report.changes:
        return "no setting has changed"
    rows = [
        [change.key, change.before or _NONE, change.after or _NONE, _EFFECTS[change.effect]]
        for change in report.changes
    ]
    return aligned([["SETTING", "BEFORE", "NOW", "EFFECT"], *rows])
