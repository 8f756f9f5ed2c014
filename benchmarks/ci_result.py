# SPDX-License-Identifier: Apache-2.0
"""Results of the benchmarks that need no GPU: where they were taken, and the file."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from benchmarks import provenance

from gpushare import __version__


def target(doc: str | None, usual: Path) -> Path:
    """The file that the command line names, else the usual one.

    Asked before anything is measured: it answers `--help`, and refuses where the sources cannot be
    named.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=usual, help=f"default: {usual.name}")
    path: Path = parser.parse_args().file
    provenance.sources()
    return path


def circumstances(module: str, **machine: object) -> dict[str, Any]:
    """Version, sources and machine; `machine` comes first among its facts."""
    facts = provenance.facts(module)
    host = facts.pop("host")
    return {
        "gpushare": __version__,
        **facts,
        "machine": {**machine, **host, "load_average": os.getloadavg()[0]},
    }


def save(found: dict[str, Any], path: Path) -> None:
    """Print, and write to the file."""
    provenance.write(path, found)
    print(json.dumps(found, indent=2))
