# SPDX-License-Identifier: Apache-2.0
"""What a daemon answers when it has read its configuration again."""

from enum import StrEnum, unique

from gpushare.model.value import Value


@unique
class Effect(StrEnum):
    """When a changed setting takes effect."""

    NOW = "now"
    RESTART = "restart"


class SettingChange(Value):
    """A setting whose value differs from the one in force; both values as text."""

    key: str
    before: str
    after: str
    effect: Effect


class ReloadReport(Value):
    """`warnings`: keys that the next release refuses."""

    changes: tuple[SettingChange, ...] = ()
    warnings: tuple[str, ...] = ()

    def of(self, effect: Effect) -> tuple[str, ...]:
        """The keys of the changes with this effect."""
        return tuple(change.key for change in self.changes if change.effect is effect)

    @property
    def text(self) -> str:
        """One line, for logs and events."""
        parts = (
            ("in force", self.of(Effect.NOW)),
            ("a restart is needed for", self.of(Effect.RESTART)),
        )
        said = "; ".join(f"{what}: {', '.join(keys)}" for what, keys in parts if keys)
        return said or "no setting has changed"
