# SPDX-License-Identifier: Apache-2.0
"""The latency-critical program: services that answer windows of requests.

Reads one JSON command a line from standard input, answers each with one JSON line:
`{"do": "pace", "service", "requests"}` or
`{"do": "window", "service", "rate", "seconds", "seed", "patience"}`. Times are seconds of
CLOCK_MONOTONIC.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from typing import Any

import torch

from .arrivals import poisson
from .engine import Engine, steady
from .services import SERVICES, Service

SPIN = 0.0003  # the last part of a wait for an arrival is not slept


def wait_until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        if left > SPIN:
            time.sleep(left - SPIN)


def pace(service: Service, requests: int) -> dict[str, Any]:
    """How long one request takes when they come back to back."""
    times = []
    for i in range(requests):
        begun = time.monotonic()
        service.serve(i)
        times.append(time.monotonic() - begun)
    return {"service_s": statistics.fmean(times), "median_s": statistics.median(times)}


def window(service: Service, wish: dict[str, Any]) -> dict[str, Any]:
    """First come, first served; given up once the queue is `patience` seconds late."""
    times = poisson(wish["service"], wish["rate"], wish["seconds"], wish["seed"])
    begin = time.monotonic() + 0.01
    latest, wrong, saturated = begin + 1.5 * wish["seconds"], 0, False
    starts: list[float] = []
    ends: list[float] = []
    for i, arrival in enumerate(times):
        wait_until(begin + arrival)
        start = time.monotonic()
        if start - begin - arrival > wish["patience"] or start > latest:
            saturated = True
            break
        service.serve(i)
        ends.append(time.monotonic())
        starts.append(start)
        wrong += not service.right(i)
    if wrong:
        print(f"{wish['service']}: {service.difference(0)}", file=sys.stderr, flush=True)
    return {
        "begin": begin,
        "end": time.monotonic(),
        "offered": len(times),
        "arrivals": [round(begin + arrival, 7) for arrival in times[: len(starts)]],
        "starts": starts,
        "ends": ends,
        "wrong": wrong,
        "saturated": saturated,
    }


def answer(services: dict[str, Service], wish: dict[str, Any]) -> dict[str, Any]:
    service = services[wish["service"]]
    return pace(service, wish["requests"]) if wish["do"] == "pace" else window(service, wish)


def say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("services")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    steady(1)
    engine = Engine(options.device)
    with engine.on_stream():
        services = {}
        for name in options.services.split(","):
            services[name] = SERVICES[name](engine, options.smoke)
            pace(services[name], 20)
        for service in services.values():
            service.expect()
        gc.collect()
        gc.freeze()
        gc.disable()
        say({"ready": {name: service.checksum for name, service in services.items()}})
        for line in sys.stdin:
            say(answer(services, json.loads(line)))


if __name__ == "__main__":
    main()
