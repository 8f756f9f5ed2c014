# SPDX-License-Identifier: Apache-2.0
"""Each lock of the guard is in the table that says what runs under it."""

import re
from pathlib import Path

GUARD = Path(__file__).parents[2] / "native" / "guard"
LOCK = re.compile(r"^(static |    )pthread_mutex_t \w+( =|;)", re.MULTILINE)


def test_the_table_of_locks_is_complete():
    text = (GUARD / "README.md").read_text()
    table = text[text.index("## Locks") :].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([\w/.]+)`", table, re.MULTILINE))
    locks = {
        str(path.relative_to(GUARD))
        for path in GUARD.rglob("*.[ch]")
        if LOCK.search(path.read_text())
    }
    assert listed == locks


def test_shared_files_have_no_locks():
    """A process that is stopped would hold them."""
    for header in ("region.h", "gpu_page.h", "swap_pool.h"):
        assert "pthread" not in (GUARD / "share" / header).read_text()
