# SPDX-License-Identifier: Apache-2.0
"""Which settings a running daemon can follow, and what a new configuration would change.

A setting that is not in `RELOADABLE` needs a restart: it is where the daemon listens and keeps its
files, or shares and control groups were made by it.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from gpushare.model.operations.reload import Effect, SettingChange

from .settings import Settings

RELOADABLE = frozenset(
    {
        "log_level",
        "log_format",
        "reconcile_interval",
        "proof_interval",
        "auto_cordon",
        "scrub",
        "turn_seconds",
        "hosts",
        "operators",
        "viewers",
        "rate_limit",
        "rate_burst",
        "audit_size",
        "audit_days",
        "audit_keep",
        "auto_stop_after",
        # Commands and libraries read these themselves, each time they start.
        "auto_start",
        "reconnect_timeout",
        "output_keep",
        "log_keep",
    }
)


def effect(key: str) -> Effect:
    """When a change of the setting takes effect."""
    return Effect.NOW if key in RELOADABLE else Effect.RESTART


def changes(now: Settings, new: Settings) -> tuple[SettingChange, ...]:
    """The settings that differ, in their order."""
    return tuple(
        SettingChange(key=key, before=_text(before), after=_text(after), effect=effect(key))
        for key in Settings.__struct_fields__
        if (before := getattr(now, key)) != (after := getattr(new, key))
    )


def followed(now: Settings, new: Settings) -> Settings:
    """The settings in force after a reload: the new ones as far as a running daemon can follow."""
    return replace(now, **{key: getattr(new, key) for key in RELOADABLE})


def _text(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return "" if value is None else str(value)
    return ",".join(map(str, value))
