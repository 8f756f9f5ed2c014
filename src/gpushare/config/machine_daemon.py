# SPDX-License-Identifier: Apache-2.0
"""The daemon that serves all users of the machine, and the units that start daemons."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNIT = "gpushare.service"
_SOCKET = "run/gpushare/gpushare.sock"
# Where administrators put units and enable them; what a package brings is elsewhere.
_SYSTEM = ("etc/systemd/system", "run/systemd/system")
_USERS = ("etc/systemd/user", "run/systemd/user")
_ENABLED = (f"*.wants/{UNIT}", f"*.requires/{UNIT}")
_MASK = Path("/dev/null")


@dataclass(frozen=True)
class MachineDaemon:
    """`root`: of the file system. `user_config`: the caller's XDG_CONFIG_HOME."""

    root: Path
    user_config: Path

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.root / _SOCKET

    @property
    def unit(self) -> Path | None:
        """The unit that starts it: put there or enabled by an administrator, and not masked."""
        folders = [self.root / folder for folder in _SYSTEM]
        return _first(folders, (UNIT, *_ENABLED))

    @property
    def own_unit(self) -> Path | None:
        """The enabled unit that starts the caller's own daemon."""
        folders = [self.user_config / "systemd/user", *(self.root / folder for folder in _USERS)]
        return _first(folders, _ENABLED)


def _first(folders: list[Path], patterns: tuple[str, ...]) -> Path | None:
    # A masked unit is a link to /dev/null; systemd then ignores every other file of that name.
    if any(_target(folder / UNIT) == _MASK for folder in folders):
        return None
    return next(_found(folders, patterns), None)


def _found(folders: list[Path], patterns: tuple[str, ...]) -> Iterator[Path]:
    # A link whose unit was removed does not exist.
    for folder in folders:
        for pattern in patterns:
            yield from sorted(folder.glob(pattern))


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except OSError:
        return None
