# SPDX-License-Identifier: Apache-2.0
"""gpushare gives every process a share of a GPU, and makes the share real.

import gpushare

with gpushare.share(memory="8GiB", compute=50):
    import torch
"""

from typing import TYPE_CHECKING

from gpushare.model.version import __version__

if TYPE_CHECKING:
    from gpushare.client import Client
    from gpushare.model.errors import GpushareError
    from gpushare.session.python_api import share

__all__ = ["Client", "GpushareError", "__version__", "share"]

_HOMES = {
    "Client": "gpushare.client",
    "GpushareError": "gpushare.model.errors",
    "share": "gpushare.session.python_api",
}


def __dir__() -> list[str]:
    """The public names, also those that nothing has used yet."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    """The public names on first use: importing a room must not load the client."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 (start-up time)

    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found
