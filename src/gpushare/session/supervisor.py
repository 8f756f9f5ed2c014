# SPDX-License-Identifier: Apache-2.0
"""The parent of a detached program: waits for its end, then reports it (`report_end`).

It runs for as long as the program, so it is a Python without site packages that imports nothing of
gpushare. Signals that are sent to the program's group or session do not reach it.
"""

import os
import sys
import time

if __name__ == "__main__":
    program, *report = sys.argv[1:]
    _, status = os.waitpid(int(program), 0)
    os.execv(sys.executable, [sys.executable, "-P", *report, str(status), str(time.time())])  # noqa: S606
