# SPDX-License-Identifier: Apache-2.0
"""In every Python of a peer's test suite: puts back what numba-cuda uses and NumPy removed."""

import contextlib

with contextlib.suppress(ImportError):
    import numpy as np

    if not hasattr(np, "row_stack"):
        np.row_stack = np.vstack  # noqa: NPY201 (numba-cuda uses it)
