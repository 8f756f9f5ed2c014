# SPDX-License-Identifier: Apache-2.0
"""Who broke an MPS server: it tells its log, not its clients (NVIDIA MPS docs, faults)."""

import re
from collections.abc import Iterable

_STAMP = re.compile(r"^\[[^\]]*\]\s*")  # [2026-11-23 10:51:31.706 Server 29489]
_FAULT = re.compile(r"fault|fatal|exception|illegal", re.IGNORECASE)
_WHO = re.compile(r"\b(?:client|pid|process)\b\D{0,16}?(\d+)", re.IGNORECASE)


def blamed(lines: Iterable[str]) -> tuple[int, ...]:
    """Pids that fault lines name, oldest first, each once."""
    pids: dict[int, None] = {}
    for line in lines:
        text = _STAMP.sub("", line)
        if _FAULT.search(text):
            pids.update((int(pid), None) for pid in _WHO.findall(text))
    return tuple(pids)
