# SPDX-License-Identifier: Apache-2.0
"""An earlier gpushare whose daemon ends while programs of two shares hold memory.

Run with the Python path of that version, like scene.py. Prints where the machine is, then passes
lines `NAME WORDS` on to the programs until its input ends.
"""

import json
import signal
import sys
from pathlib import Path

from scene import begin

from support.daemon import Daemon
from support.machine import simulated

SHARES = {"busy": "8GiB", "other": "6GiB"}


def main(folder):
    with simulated("h200-1") as machine:
        daemon = Daemon(machine, folder)
        daemon.start()
        programs = {name: begin(daemon, name, "-m", size) for name, size in SHARES.items()}
        # Not `stop`, which also removes what the tests of that version leave in memory.
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.wait(60)
        place = {"environment": dict(machine.environment), "image": str(machine.image)}
        pids = {name: program.pid for name, program in programs.items()}
        sys.stdout.write(json.dumps(place | {"pids": pids}) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            name, words = line.split(maxsplit=1)
            programs[name].stdin.write(words.encode())
            programs[name].stdin.flush()
        for program in programs.values():
            program.kill()
            program.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
