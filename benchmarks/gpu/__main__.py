# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.gpu`: all parts, or the ones named."""

import importlib
import sys

from . import machine

PARTS = ("facts", "leaks", "race", "overhead", "programs")


def main() -> int:
    names = sys.argv[1:] or PARTS
    if unknown := set(names) - set(PARTS):
        print(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}",
            file=sys.stderr,
        )
        return 2
    for name in names:
        part = importlib.import_module(f"{__package__}.{name}")
        print(f"{name} ...", flush=True)
        print(f"  {machine.save(name, part.measure())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
