# SPDX-License-Identifier: Apache-2.0
"""What the programs that hold a given amount of memory have in common."""

import argparse


def job_options() -> argparse.Namespace:
    """`gib`, `device` and `smoke`: a small run, without a GPU where `device` says so."""
    parser = argparse.ArgumentParser()
    parser.add_argument("gib", type=int)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()
