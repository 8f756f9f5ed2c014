# SPDX-License-Identifier: Apache-2.0
"""A service next to a training job on one GPU: `python -m benchmarks.gpu.colocation --help`.

`lc` (latency-critical) and `be` (best effort) are programs; `run` starts them under every
configuration, sends requests on one schedule, and writes what it saw.
"""
