# SPDX-License-Identifier: Apache-2.0
"""Where a result comes from: the sources, the library and the machine that it was measured with.

A result without these facts cannot be compared with another one, so none is written without them.
"""

import gzip
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NATIVE = Path(os.environ.get("GPUSHARE_NATIVE", ROOT / "native" / "build"))
GUARD = NATIVE / "guard" / "libgpushare.so"
VARIABLES = ("GPUSHARE_BENCH_COMMIT", "GPUSHARE_BENCH_TREE", "GPUSHARE_BENCH_DIRTY")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOT_SOURCES = (":!benchmarks/results", ":!docs", ":!*.md", ":!tests")


class NoProvenanceError(RuntimeError):
    """What was measured cannot be named."""


@cache
def sources() -> dict[str, Any]:
    """Commit, tree and whether files differ from it: from the checkout, else from VARIABLES.

    `dirty` ignores what no benchmark runs: results, documentation and tests.
    """
    commit, tree, dirty = (os.environ.get(name, "") for name in VARIABLES)
    if commit and tree and dirty in ("0", "1"):
        return {"commit": commit, "tree": tree, "dirty": dirty == "1"}
    try:
        changed = _git("status", "--porcelain", "--", ".", *_NOT_SOURCES)
        commit, tree = _git("rev-parse", "HEAD"), _git("rev-parse", "HEAD^{tree}")
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoProvenanceError(
            f"{ROOT} is no git checkout ({error}): set {', '.join(VARIABLES)} (0 or 1) from the "
            "checkout that it was copied from"
        ) from error
    return {"commit": commit, "tree": tree, "dirty": bool(changed)}


def _git(*words: str) -> str:
    answer = subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@cache
def guard() -> dict[str, str]:
    """The guard whose figures these are."""
    if not GUARD.exists():
        raise NoProvenanceError(f"{GUARD} is missing: make native")
    return {"sha256": sha256(GUARD.read_bytes()).hexdigest()}


def host() -> dict[str, Any]:
    """The boot tells machines apart, also virtual ones of the same image."""
    return {
        "boot": _BOOT_ID.read_text().strip(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def facts(module: str) -> dict[str, Any]:
    """What results of every benchmark carry; `module` is what `python -m` started."""
    return {
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "date": now(),
        **sources(),
        "libgpushare": guard(),
        "host": host(),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(path: Path, body: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n")
    return path


def write_samples(path: Path, samples: object) -> Path:
    """Raw samples next to a result: NAME.samples.json.gz, the same bytes for the same samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(samples, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(text, mtime=0))
    return path
