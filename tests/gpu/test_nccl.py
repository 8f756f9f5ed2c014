# SPDX-License-Identifier: Apache-2.0
"""NCCL between programs with one GPU each: two shares, and one share of two GPUs, as without any.

Needs two GPUs and PyTorch.
"""

import contextlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support.daemon import GPUSHARE, Daemon
from support.machine import real

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]
MOST = 150  # seconds of both ranks, most of it loading PyTorch
# 256 MiB; the bandwidth of 20 all-reduces after 3.
RANK = """
import os, sys, time, torch, torch.distributed as group
torch.cuda.set_device(int(os.environ.get("ORDINAL", "0")))
group.init_process_group(
    "nccl", init_method="file://" + sys.argv[2], rank=int(sys.argv[1]), world_size=2
)
ones = torch.ones(64 << 20, device="cuda")
group.all_reduce(ones)
assert float(ones[0]) == float(ones[-1]) == 2.0
def work(times):
    for _ in range(times):
        group.all_reduce(ones)
    torch.cuda.synchronize()
work(3)
begin = time.monotonic()
work(20)
seconds = (time.monotonic() - begin) / 20
print("RATE", ones.numel() * 4 / seconds / 1e9, flush=True)
group.destroy_process_group()
"""
DEBUG = {"NCCL_DEBUG": "INFO", "NCCL_DEBUG_SUBSYS": "INIT,P2P", "NCCL_NVLS_ENABLE": "0"}


@pytest.fixture(autouse=True)
def torch_is_there() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")


def ranks(
    folder: Path, commands: Sequence[Sequence[str]], envs: Sequence[Mapping[str, str]]
) -> float:
    """GB/s of an all-reduce of two ranks, each with words before its command."""
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in (0, 1):
            python = (sys.executable, "-c", RANK, str(rank), str(meeting))
            process = subprocess.Popen(
                [*commands[rank], *python],
                env={**real().environment, **DEBUG, **envs[rank]},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.kill)
            processes.append(stack.enter_context(process))
        outputs = [process.communicate(timeout=MOST)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-6000:]
        assert "via P2P" in output, output[-6000:]
    rates = [float(rate) for rate in re.findall(r"^RATE (\S+)", "\n".join(outputs), re.MULTILINE)]
    sys.stdout.write(f"{min(rates):.0f} GB/s\n")
    return min(rates)


def bare(folder: Path) -> float:
    return ranks(folder, ((), ()), [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "01"])


@pytest.mark.parametrize("mechanism", ["timeslice", "mps"])
def test_two_shares_reach_each_other_at_bare_speed(
    pair: Daemon, short_path: Path, mechanism: str
) -> None:
    for gpu in "01":
        created = pair.gpushare(
            *("create", "--name", f"rank{gpu}", "-m", "20GiB", "--gpu", gpu),
            *("--mechanism", mechanism),
            timeout=120,
        )
        assert created.returncode == 0, created.stderr
    words = [(*GPUSHARE, "exec", f"rank{gpu}", "--") for gpu in "01"]
    rate = ranks(short_path, words, [pair.environment] * 2)
    assert rate > 0.8 * bare(short_path)


def test_one_share_of_two_gpus_has_bare_speed(pair: Daemon, short_path: Path) -> None:
    created = pair.gpushare("create", "--name", "both", "-m", "20GiB", "--gpus", "2", timeout=120)
    assert created.returncode == 0, created.stderr
    words = [(*GPUSHARE, "exec", "both", "--")] * 2
    envs = [{**pair.environment, "ORDINAL": gpu} for gpu in "01"]
    assert ranks(short_path, words, envs) > 0.8 * bare(short_path)


def test_ranks_that_start_in_shares_of_their_own_by_run(pair: Daemon, short_path: Path) -> None:
    """As a launcher does: `gpushare run` twice, at about the same time."""
    words = [
        (*GPUSHARE, "run", "-m", "20GiB", "--mechanism", "timeslice", "--gpu", gpu, "--")
        for gpu in "01"
    ]
    ranks(short_path, words, [pair.environment] * 2)
