# SPDX-License-Identifier: Apache-2.0
"""Stands for the program of a page's reader: the one of the example, which ends soon on a terminal.

In the background it works for STEPS steps, or until it is ended. Options that the example does not
know are ignored.
"""

import os
import runpy
import sys

EXAMPLE = f"{os.environ['GPUSHARE_CLONE']}/examples/01-three-programs/train.py"
KNOWN = ("--memory", "--steps", "--step-ms")

given = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
chosen = {"--steps": "5" if sys.stdin.isatty() else os.environ.get("STEPS", "0")} | {
    name: given[name] for name in KNOWN if name in given
}
sys.argv[1:] = [word for pair in chosen.items() for word in pair]
runpy.run_path(EXAMPLE, run_name="__main__")
