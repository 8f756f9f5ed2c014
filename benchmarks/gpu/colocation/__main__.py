# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.gpu.colocation`: all of it, or the part that the options name."""

import argparse
import os
import sys
import time
from itertools import groupby

from benchmarks.gpu import machine

from . import configurations
from .check_peers import check
from .configurations import Configuration
from .run import Plan, measure
from .systems import PEERS

PAIRS = "bert:resnet50,llm:gpt"


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _chosen(text: str) -> list[Configuration]:
    try:
        return configurations.chosen(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.colocation", description=__doc__
    )
    parser.add_argument("--pairs", default=PAIRS, help="service:job,…; all; others")
    parser.add_argument("--configurations", type=_chosen, default=",".join(configurations.DEFAULT))
    parser.add_argument("--loads", default="0.5", help="parts of a service's rate alone")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one window")
    parser.add_argument("--quanta", default="", help="also vary the guard's quantum, in µs")
    parser.add_argument("--graces", default="", help="and its grace; 1: none")
    parser.add_argument("--slices", default="", help="and a job's time slice; 0: the driver's")
    parser.add_argument("--alone", action="store_true", help="also each program alone, guarded")
    parser.add_argument("--sequential", action="store_true", help="few programs at once")
    parser.add_argument("--into", default="colocation", help="the file of results: NAME.json")
    parser.add_argument("--limit", type=float, default=570.0, help="stop after so many seconds")
    parser.add_argument(
        "--peers",
        default=os.environ.get(PEERS, ""),
        help=f"the folder of other systems' builds, else what {PEERS} names",
    )
    parser.add_argument(
        "--check-peers", action="store_true", help="only say in a minute whether they work here"
    )
    return parser.parse_args()


def pairs(text: str) -> list[tuple[str, str]]:
    headline = [(lc, be) for lc, be in (each.split(":") for each in PAIRS.split(","))]
    if text in ("all", "others"):
        every = [
            (lc, be) for lc in ("bert", "resnet50", "llm") for be in ("resnet50", "gpt", "gemm")
        ]
        return [pair for pair in every if text == "all" or pair not in headline]
    return [(lc, be) for lc, be in (each.split(":") for each in text.split(","))]


def _weight(configuration: Configuration) -> tuple[str, bool, bool]:
    """What comes first when time may run out: shares, then plain MPS, then other systems."""
    mps, guard, system = configuration.stage
    return system, not guard, mps


def stages(chosen: list[Configuration], sequential: bool) -> list[list[Configuration]]:
    if sequential:
        return [[each] for each in chosen]
    return [list(group) for _, group in groupby(chosen, key=lambda each: each.stage)]


def main() -> int:
    options = arguments()
    os.environ[PEERS] = options.peers
    if options.check_peers:
        return check()
    machine.begin()
    varied = (_numbers(each) for each in (options.quanta, options.graces, options.slices))
    chosen = configurations.variants(options.configurations, *varied)
    plan = Plan(
        pairs=pairs(options.pairs),
        stages=stages(sorted(chosen, key=_weight), options.sequential),
        loads=[float(each) for each in options.loads.split(",")],
        seeds=_numbers(options.seeds),
        seconds=options.seconds,
        alone=options.alone,
        deadline=time.monotonic() + options.limit,
        settle=0.1 if machine.smoke() else 0.7,
        part=options.into,
    )
    return measure(plan)


if __name__ == "__main__":
    sys.exit(main())
