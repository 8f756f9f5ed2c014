# SPDX-License-Identifier: Apache-2.0
"""A program that holds memory: `resident GIB`. Commands: `"digest"`, `"touch"`."""

import json
import sys

import torch

from .digest import digest, filled
from .job import job_options

GIB = 1 << 30


def main() -> None:
    options = job_options()
    blocks = filled((1 << 20) if options.smoke else GIB, options.gib, options.device)
    small = torch.zeros(1024, device=options.device)
    print(json.dumps({"ready": digest(blocks)}), flush=True)
    for line in sys.stdin:
        small += 1
        answer = digest(blocks) if json.loads(line) == "digest" else int(small[0].item())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
