# SPDX-License-Identifier: Apache-2.0
"""Hooks of schemathesis (`SCHEMATHESIS_HOOKS=support.fuzzing`)."""

from typing import Any

import schemathesis

SHORT = 1  # seconds


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, kwargs: Any) -> None:
    """A call that waits is answered soon; a time that is no time stays what it is."""
    timeout = str((case.query or {}).get("timeout", SHORT))
    if case.path.endswith("/wait") and timeout.isascii() and timeout.isdecimal():
        case.query = {**(case.query or {}), "timeout": min(int(timeout), SHORT)}
