# SPDX-License-Identifier: Apache-2.0
"""Other systems in the harness of services next to jobs: found, started, or shown as missing."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.gpu.colocation import check_peers, configurations, run, systems
from benchmarks.gpu.colocation.configurations import Configuration
from benchmarks.gpu.colocation.progress import Profile, Trace
from benchmarks.gpu.colocation.results import Results
from benchmarks.gpu.colocation.stage import Stage
from benchmarks.gpu.colocation.stats import Window
from benchmarks.gpu.colocation.systems import HAMI, PEERS, XSCHED

SERVER = """#!/usr/bin/env python3
import signal, socket, sys
print(sys.argv[1], flush=True)
listening = socket.create_server(("127.0.0.1", int(sys.argv[2])))
signal.pause()
"""


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of builds, empty yet."""
    monkeypatch.setenv(PEERS, str(tmp_path))
    return tmp_path


NAMESPACE, THREAD = "/proc/self/ns/ipc", Path("/proc/thread-self/ns/ipc")


def build(system: systems.System, server: str = SERVER) -> None:
    for name in system.files:
        place = system.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(server)
        place.chmod(0o755)
    (system.folder / "VERSION").write_text("8f3a89c67b03\nfrom a public repository\n")


class Services:
    """Answers each request after a millisecond, as it was alone."""

    checksums = {"bert": 1, "llm": 2}

    def pace(self, _service: str, _requests: int) -> float:
        return 0.001

    def window(self, _service: str, _rate: float, seconds: float, _seed: int) -> Window:
        arrivals = np.arange(100) * seconds / 100
        spans = (arrivals, arrivals, arrivals + 0.001)
        return Window(*spans, 0.0, seconds, 100, 0, saturated=False, pace={})


class Jobs:
    """Marks at an even rate; a step has one."""

    page = type("Page", (), {"checks": 0, "wrong": 0})()

    def start(self, _job: str) -> None: ...
    def pause(self) -> None: ...

    def watch(self) -> "Jobs":
        return self

    def end(self) -> Trace:
        return Trace(np.linspace(0, 10, 101), np.arange(101.0))

    def trace(self, _seconds: float) -> Trace:
        return self.end()

    def profile(self, _job: str, trace: Trace) -> Profile:
        return Profile.of(trace, 1)


def plan(*names: str) -> run.Plan:
    stages = [[each] for each in configurations.chosen(list(names))]
    pair = [("bert", "resnet50")]
    return run.Plan(pair, stages, [0.5], [1], 1.0, False, 1e12, 0.0, None)


def measured(monkeypatch: pytest.MonkeyPatch, *names: str, fail: str = "") -> tuple[int, Any]:
    """The code and the rows of a run; the stage of a configuration can fail."""

    @contextmanager
    def staged(of: Sequence[Configuration], _services: Any, _jobs: Any) -> Iterator[Stage]:
        if of[0].name == fail:
            raise RuntimeError("it does not start")
        jobs = {each.job: Jobs() for each in of}
        yield Stage(cast("Any", Services()), cast("Any", jobs), None)

    monkeypatch.setenv("GPUSHARE_BENCH_SMOKE", "1")
    monkeypatch.setattr(run, "stage", staged)
    results = Results(None)
    code = run.measure_into(results, plan(*names))
    return code, {row["configuration"]: row for row in results.added}


def test_a_configuration_takes_any_setting_of_its_system() -> None:
    found = configurations.chosen(["hami-core+37", "xsched+8/4", "mps"])
    assert [(each.system, each.setting) for each in found] == [
        (HAMI, "37"),
        (XSCHED, "8/4"),
        (None, ""),
    ]
    assert len({each.stage for each in found}) == 3


@pytest.mark.parametrize(
    "name",
    [
        *("hami-core", "hami-core+", "hami-core+0", "hami-core+100", "hami-core+4/2"),
        *("xsched+8", "xsched+2/4", "xsched+4/0", "xsched+-4/2", "other+1", "mps+30"),
    ],
)
def test_a_name_that_no_system_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no such configuration"):
        configurations.chosen([name])


def test_other_systems_are_measured_in_the_same_run_by_default() -> None:
    assert {"time-slice", "mps", *configurations.PEERS} <= set(configurations.DEFAULT)


@pytest.mark.parametrize("leave", ["VERSION", "libvgpu.so"])
def test_a_build_that_lacks_a_file_is_not_built(builds: Path, leave: str) -> None:
    assert not HAMI.built
    build(HAMI)
    assert HAMI.built
    (builds / "hami-core" / leave).unlink()
    assert not HAMI.built


@pytest.mark.usefixtures("builds")
def test_a_build_that_does_not_say_what_it_is_is_not_built() -> None:
    build(HAMI)
    (HAMI.folder / "VERSION").write_text("\n")
    assert not HAMI.built


def test_without_a_folder_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PEERS, raising=False)
    assert not HAMI.built
    monkeypatch.setenv(PEERS, "")
    assert not XSCHED.built


def test_a_system_that_is_not_built_has_rows_that_say_so(
    builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(HAMI)
    code, rows = measured(monkeypatch, "time-slice", "hami-core+30", "xsched+4/2")
    assert code == 0
    assert rows["xsched+4/2"]["missing"] == "not built"
    assert rows["hami-core+30"]["version"] == "8f3a89c67b03"
    assert rows["hami-core+30"]["be_share"] == pytest.approx(1.0)
    assert builds.exists()


@pytest.mark.usefixtures("builds")
def test_hami_core_is_not_measured_on_a_gpu_that_it_does_not_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build(HAMI)
    monkeypatch.setenv("GPUSHARE_BENCH_GPU", "1")
    code, rows = measured(monkeypatch, "time-slice", "hami-core+30")
    assert code == 0
    assert rows["hami-core+30"]["missing"] == "first GPU only"


@pytest.mark.usefixtures("builds")
def test_a_system_that_fails_has_rows_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    build(HAMI)
    build(XSCHED)
    names = ("time-slice", "xsched+4/2", "hami-core+30")
    code, rows = measured(monkeypatch, *names, fail="xsched+4/2")
    assert code == 3
    assert rows["xsched+4/2"]["missing"] == "failed"
    assert rows["xsched+4/2"]["cause"] == "it does not start"
    assert rows["xsched+4/2"]["version"] == "8f3a89c67b03"
    assert rows["hami-core+30"]["requests"] == 100


@pytest.mark.usefixtures("builds")
def test_a_limit_that_needs_seconds_has_them_before_its_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asleep: list[float] = []
    clock = SimpleNamespace(sleep=asleep.append, monotonic=lambda: 0.0, strftime=time.strftime)
    monkeypatch.setattr(run, "time", clock)
    monkeypatch.setattr(run.machine, "smoke", lambda: False)
    build(HAMI)
    _, rows = measured(monkeypatch, "time-slice")
    assert rows
    assert HAMI.settle_s not in asleep
    measured(monkeypatch, "time-slice", "hami-core+30")
    assert HAMI.settle_s in asleep


@pytest.mark.usefixtures("builds")
def test_hami_core_is_loaded_into_the_job_alone() -> None:
    with systems.started(HAMI) as made:
        assert made.service == {}
        small, large = made.job("30"), made.job("50")
    assert small["LD_PRELOAD"] == str(HAMI.folder / "libvgpu.so")
    assert (small["CUDA_DEVICE_SM_LIMIT"], large["CUDA_DEVICE_SM_LIMIT"]) == ("30", "50")
    cache = "CUDA_DEVICE_MEMORY_SHARED_CACHE"
    assert small[cache] != large[cache]
    assert not Path(small[cache]).parent.exists()


@pytest.mark.usefixtures("builds")
def test_xsched_has_a_server_and_a_higher_priority_for_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build(XSCHED)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/driver")
    with systems.started(XSCHED) as made:
        service, job = made.service, made.job("4/2")
        assert (made.scratch / "log").read_text() == "HPF\n"
    priority = "XSCHED_AUTO_XQUEUE_PRIORITY"
    assert int(service[priority]) > int(job[priority])
    assert job["XSCHED_AUTO_XQUEUE_THRESHOLD"] == "4"
    assert job["XSCHED_AUTO_XQUEUE_BATCH_SIZE"] == "2"
    assert job["XSCHED_CUDA_LIB"] == job["CUXTRA_CUDA_LIB"] == systems.driver()
    assert job["LD_LIBRARY_PATH"] == f"{XSCHED.folder / 'lib'}:/opt/driver"


@pytest.mark.usefixtures("builds")
def test_the_server_of_xsched_is_ended_with_the_stage() -> None:
    build(XSCHED, SERVER.replace("print(sys.argv[1]", "import os; print(os.getpid()"))
    with systems.started(XSCHED) as made:
        server = Path("/proc") / (made.scratch / "log").read_text().strip()
        assert server.exists()
    assert not server.exists()


@pytest.mark.usefixtures("builds")
def test_two_runs_at_once_have_message_queues_of_their_own() -> None:
    if subprocess.run(["unshare", "--ipc", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make namespaces")
    build(
        XSCHED,
        SERVER.replace("print(sys.argv[1]", "import os; print(os.readlink('/proc/self/ns/ipc')"),
    )
    before = str(THREAD.readlink())
    with systems.started(XSCHED) as made:
        server = (made.scratch / "log").read_text().strip()
        program = subprocess.run(
            ["readlink", NAMESPACE], check=True, capture_output=True, text=True
        )
    assert server.startswith("ipc:")
    assert server == program.stdout.strip() != before
    assert str(THREAD.readlink()) == before


@pytest.mark.usefixtures("builds")
def test_a_server_that_ends_is_an_error_with_its_words() -> None:
    build(XSCHED, "#!/bin/sh\necho no message queues here\nexit 1\n")
    with pytest.raises(RuntimeError, match="no message queues here"), systems.started(XSCHED):
        pass


def row(name: str, share: float, ratio: float = 1.0) -> dict[str, Any]:
    counts = {"requests": 90, "offered": 100, "wrong_requests": 2, "wrong_checks": 1}
    told = {"configuration": name, "version": "bd494cb", "service": {"p99_ratio": ratio}}
    return {**counts, **told, "be_share": share}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (row("hami-core+30", 0.38), "the limit shows"),
        (row("hami-core+30", 0.62), "the limit does NOT show"),
        (row("xsched+4/2", 0.3, 2.5), "the priority shows"),
        (row("xsched+4/2", 0.3, 4.9), "the priority does NOT show"),
        (row("xsched+4/2", 0.7, 2.5), "the priority does NOT show"),
        ({"configuration": "xsched+4/2", "missing": "not built"}, "not built"),
    ],
)
def test_a_check_says_whether_limit_and_priority_show(found: dict[str, Any], words: str) -> None:
    told = check_peers.verdict(found, row("time-slice", 0.65, 4.7))
    assert words in told
    assert "missing" in found or "90 of 100 answers, 3 wrong" in told
