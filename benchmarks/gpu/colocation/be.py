# SPDX-License-Identifier: Apache-2.0
"""The best-effort program: `be.py JOB,JOB PAGE` does what the page wishes until it wishes QUIT.

The loss is read every ten steps, as training that logs it does; nothing else is waited for.
"""

import argparse
import json
import time

import torch

from .engine import Engine, steady
from .jobs import JOBS, Job, Marks
from .page import PAUSE, QUIT, Page

LOG_EVERY = 10


def go(job: Job, page: Page, number: int) -> None:
    """Steps until the page wishes something else; ends when the GPU has done them all."""
    checks = 0
    while True:
        for _ in range(LOG_EVERY):
            loss, checked = job.step()
            checks += checked
            if page.wish != number:
                break
        loss.item()
        page.wrong = int(job.wrong.item())
        page.checks += checks
        checks = 0
        if page.wish != number:
            return


def obey(jobs: list[Job], page: Page) -> None:
    while (wish := page.wish) != QUIT:
        if wish == PAUSE:
            page.state = PAUSE
            time.sleep(0.002)
            continue
        jobs[wish - 1].begin()
        page.state = wish
        go(jobs[wish - 1], page, wish)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # others may need the memory while this one pauses


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs")
    parser.add_argument("page")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    steady(2)
    engine, page = Engine(options.device), Page.open(options.page)
    with engine.on_stream():
        marks = Marks(engine, page)
        jobs = [JOBS[name](engine, marks, options.smoke) for name in options.jobs.split(",")]
        for job in jobs:
            job.warm()
        engine.wait()
        print(json.dumps({"ready": [job.per_step for job in jobs]}), flush=True)
        obey(jobs, page)


if __name__ == "__main__":
    main()
