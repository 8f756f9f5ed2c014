# SPDX-License-Identifier: Apache-2.0
"""Figures of other systems from another harness with other models, on one H200, driver 580.

They can be compared with each other, not with the results of this harness: their tables are of
their own. One seed; windows of 6 s (ResNet-50) and 5 s (GPT). XSched at level 1; HAMi-core with a
limit on multiprocessors for the job. Their code is no part of this repository.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """p99 ratios to solo, and the job's throughput as a part of solo."""

    name: str
    response: float
    service: float
    be: float


COLOCATION: dict[tuple[str, str], tuple[Peer, ...]] = {
    ("BERT-base, 0.5 ms", "ResNet-50 training"): (
        Peer("XSched, threshold/batch 4/2", 2.4, 2.8, 0.21),
        Peer("XSched, threshold/batch 16/8", 3.8, 4.3, 0.30),
        Peer("HAMi-core, limit 30", 38, 5.7, 0.34),
        Peer("HAMi-core, limit 50", 470, 5.7, 0.44),
    ),
    ("decoding, 2 ms", "GPT-like training"): (
        Peer("XSched, threshold/batch 4/2", 1.17, 1.35, 0.35),
        Peer("XSched, threshold/batch 16/8", 1.63, 1.55, 0.41),
        Peer("HAMi-core, limit 30", 32, 2.22, 0.39),
        Peer("HAMi-core, limit 50", 59, 2.22, 0.49),
    ),
}

# Mechanism, program, the limit and what was delivered of it, in percent.
CAPS = (
    ("HAMi-core", "ResNet-50 training", 30, 33),
    ("HAMi-core", "ResNet-50 training", 50, 71),
    ("HAMi-core", "GPT-like training", 30, 39),
    ("HAMi-core", "GPT-like training", 50, 98),
    ("MPS threads", "ResNet-50 training", 10, 15),
    ("MPS threads", "ResNet-50 training", 25, 34),
    ("MPS threads", "ResNet-50 training", 50, 64),
    ("MPS threads", "ResNet-50 training", 75, 86),
)
