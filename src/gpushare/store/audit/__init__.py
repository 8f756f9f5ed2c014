# SPDX-License-Identifier: Apache-2.0
"""The audit log: a chain of records in files that are only ever appended to."""

from .files import Files
from .log import DAEMON, Log, Rotation
from .marks import Marks, remembered
from .parts import Style, lines_of, part, styled
from .search import search
from .signing import Signer, public_key, signer
from .verify import Lines, file_lines, verify
from .witness import BOOT, EVENT, STARTED, Audited, audited, event_of

__all__ = [
    "BOOT",
    "DAEMON",
    "EVENT",
    "STARTED",
    "Audited",
    "Files",
    "Lines",
    "Log",
    "Marks",
    "Rotation",
    "Signer",
    "Style",
    "audited",
    "event_of",
    "file_lines",
    "lines_of",
    "part",
    "public_key",
    "remembered",
    "search",
    "signer",
    "styled",
    "verify",
]
