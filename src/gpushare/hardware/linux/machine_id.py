# SPDX-License-Identifier: Apache-2.0
"""Which machine this is."""

from hashlib import sha256
from pathlib import Path

_APPLICATION = b"gpushare\n"
_DIGITS = 32


def machine_digest(root: Path = Path("/")) -> str:
    """A digest of /etc/machine-id, which itself is confidential (machine-id(5)); "" without one."""
    try:
        text = (root / "etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return sha256(_APPLICATION + text).hexdigest()[:_DIGITS] if text else ""
