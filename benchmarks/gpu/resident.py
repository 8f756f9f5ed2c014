# SPDX-License-Identifier: Apache-2.0
"""A program that holds memory: `resident GIB`. Commands: `"digest"`, `"touch"`."""

import argparse
import json
import sys

import torch

from .digest import digest, filled

GIB = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("gib", type=int)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    blocks = filled((1 << 20) if options.smoke else GIB, options.gib, options.device)
    small = torch.zeros(1024, device=options.device)
    print(json.dumps({"ready": digest(blocks)}), flush=True)
    for line in sys.stdin:
        small += 1
        answer = digest(blocks) if json.loads(line) == "digest" else int(small[0].item())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
