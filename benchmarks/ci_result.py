# SPDX-License-Identifier: Apache-2.0
"""Results of the benchmarks that need no GPU: where they were taken, and the file."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpushare import __version__


def circumstances(**machine: object) -> dict[str, Any]:
    """Version, time and machine; `machine` comes first among its facts."""
    return {
        "gpushare": __version__,
        "tree": _tree(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **machine,
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
    }


def _tree() -> str:
    """Id of the content of the newest commit; "" outside a checkout."""
    answer = subprocess.run(
        ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD^{tree}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() if answer.returncode == 0 else ""


def save(found: dict[str, Any], usual: Path) -> None:
    """Print, and write to the file that the command line names, or to the usual one."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else usual
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
