# SPDX-License-Identifier: Apache-2.0
"""What the guard costs and holds on a real GPU: `python -m benchmarks.gpu [PART …]`."""

import argparse
import importlib
import sys
from collections.abc import Iterable
from typing import Any

from . import machine

PARTS = ("facts", "leaks", "race", "overhead", "programs")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("part", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def states(name: str) -> Iterable[dict[str, Any]]:
    """The part's result, growing; a part that has steps leaves each of them worth saving."""
    found = importlib.import_module(f"{__package__}.{name}").measure()
    return [found] if isinstance(found, dict) else found


def main() -> int:
    for name in arguments().part or PARTS:
        print(f"{name} ...", flush=True)
        for found in states(name):
            solo, samples = found.pop("solo_ms", None), found.pop("samples", None)
            path = machine.save(name, found, solo_ms=solo, samples=samples)
        print(f"  {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
