# SPDX-License-Identifier: Apache-2.0
"""The Prometheus metrics: one table, from which the exposition and its documentation are made.

A measure is a row: name, meaning, labels, kind. The daemon fills in samples by name; `render`
writes them as text in the order of the table.

- Names follow Prometheus: the prefix `gpushare_`, what it is about (`gpu`, `share`, `tenant`), base
  units (`_bytes`, `_seconds`, `_ratio` for parts of a whole), `_total` for counters.
- A counter only grows while its share lives; its series ends with the share. Gauges may fall.
- What is not known has no sample. It is never shown as zero.
- Labels identify: a GPU by UUID and index, a share by id, name and user. A share's id is never
  used again.
- The rows about scheduling come from `model.scheduling`. A metric that was renamed is exposed under
  both names for one release; the former one is described as deprecated.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from prometheus_client.utils import floatToGoString

from gpushare.model.scheduling import FIGURES, metric_name
from gpushare.model.value import Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Measure(Value):
    """`counter`: only ever grows."""

    name: str
    doc: str
    labels: tuple[str, ...] = ()
    counter: bool = False


class Sample(Value):
    """One value of a measure; `labels` in the order of the measure's."""

    value: float
    labels: tuple[str, ...] = ()


_GPU = ("gpu", "index")
_SHARE = ("share", "name", "user")
_MOVE = (*_SHARE, "tier")


def _scheduling() -> Iterator[Measure]:
    """From the table of figures; the former names for one release."""
    for name, row in FIGURES.items():
        new = metric_name(name)
        yield Measure(name=new, doc=row.doc, labels=_SHARE, counter=not row.level)
        if row.was_metric:
            old, doc = metric_name(name, "gate"), f"Deprecated: use {new}"
            yield Measure(name=old, doc=doc, labels=_SHARE, counter=not row.level)


MEASURES = (
    Measure(name="gpushare_info", doc="Always 1; versions as labels", labels=("version", "driver")),
    Measure(name="gpushare_shares", doc="Shares that have not ended", labels=("state",)),
    Measure(name="gpushare_gpu_memory_total_bytes", doc="Memory of the GPU", labels=_GPU),
    Measure(name="gpushare_gpu_memory_reserved_bytes", doc="Kept by the driver", labels=_GPU),
    Measure(name="gpushare_gpu_memory_granted_bytes", doc="Guaranteed to shares", labels=_GPU),
    Measure(name="gpushare_gpu_memory_used_bytes", doc="Used by all programs", labels=_GPU),
    Measure(name="gpushare_gpu_compute_granted_ratio", doc="Guaranteed to shares", labels=_GPU),
    Measure(name="gpushare_gpu_utilisation_ratio", doc="Time with work on the GPU", labels=_GPU),
    Measure(
        name="gpushare_gpu_cordoned", doc="1 while it takes no new shares by a cordon", labels=_GPU
    ),
    Measure(name="gpushare_gpu_lost", doc="1 when the GPU cannot be reached", labels=_GPU),
    Measure(name="gpushare_share_memory_limit_bytes", doc="The share's limit", labels=_SHARE),
    Measure(name="gpushare_share_memory_used_bytes", doc="Used by the share", labels=_SHARE),
    Measure(name="gpushare_share_memory_peak_bytes", doc="Most used at once", labels=_SHARE),
    Measure(
        name="gpushare_share_denied_total",
        doc="Allocations refused at the limit",
        labels=_SHARE,
        counter=True,
    ),
    Measure(name="gpushare_share_processes", doc="Processes of the share", labels=_SHARE),
    Measure(
        name="gpushare_share_memory_cached_bytes",
        doc="Freed by programs, kept for them",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_memory_uncounted_bytes",
        doc="Counted by the driver and not by the guard, part of what is used",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_proof_age_seconds",
        doc="Time since what its limits depend on was last read",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_proof_failed",
        doc="1 when that was not as it should be",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_escaped",
        doc="1 while a limit of the share does not hold",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_escape_start_time_seconds",
        doc="Unix time at which a limit last began not to hold",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_unlisted_total",
        doc="Allocations and contexts on GPUs that are not the share's, not limited",
        labels=_SHARE,
        counter=True,
    ),
    Measure(
        name="gpushare_share_unhooked_total",
        doc="CUDA functions that programs got past the guard or in unknown versions",
        labels=_SHARE,
        counter=True,
    ),
    Measure(
        name="gpushare_share_compute_limit_ratio",
        doc="The share's limit of compute",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_compute_delivered_ratio",
        doc="Compute it got over the last seconds",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_suspendable",
        doc="1 when its memory could leave the GPU",
        labels=_SHARE,
    ),
    Measure(
        name="gpushare_share_suspend_seconds",
        doc="Time of the newest suspend, by its tier",
        labels=_MOVE,
    ),
    Measure(
        name="gpushare_share_resume_seconds",
        doc="Time of the newest resume, by its tier",
        labels=_MOVE,
    ),
    *_scheduling(),
    *(
        Measure(name=f"gpushare_tenant_{name}", doc=doc, labels=("tenant",))
        for name, doc in (
            ("memory_guaranteed_bytes", "What it gets back from borrowers"),
            ("memory_limit_bytes", "The most it may have at once"),
            ("memory_granted_bytes", "Guaranteed to its shares"),
            ("memory_borrowed_bytes", "Of that, above its own guarantee"),
            ("compute_guaranteed_ratio", "What it gets back from borrowers, in GPUs"),
            ("compute_limit_ratio", "The most it may have at once, in GPUs"),
            ("compute_granted_ratio", "Guaranteed to its shares, in GPUs"),
            ("compute_borrowed_ratio", "Of that, above its own guarantee"),
            ("shares", "Its shares that have not ended"),
            ("gpu_hours", "GPU hours within the policy's period"),
            ("gpu_hours_limit", "The most within the period"),
            ("usage_gpu_hours", "GPU hours that lose half of their weight per half-life"),
        )
    ),
    Measure(
        name="gpushare_anomalies_total",
        doc="Anomalies reported since the daemon started",
        labels=("kind",),
        counter=True,
    ),
    Measure(name="gpushare_reconcile_seconds", doc="Time of the newest reconcile pass"),
    Measure(
        name="gpushare_reconcile_failures_total",
        doc="Reconcile passes that failed",
        counter=True,
    ),
)


def render(samples: Mapping[str, Iterable[Sample]]) -> bytes:
    """Prometheus text of samples by measure name; a name outside the table is a KeyError."""
    unknown = samples.keys() - {measure.name for measure in MEASURES}
    if unknown:
        raise KeyError(*sorted(unknown))
    labels: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
    lines: list[str] = []
    for measure in MEASURES:
        kind = "counter" if measure.counter else "gauge"
        lines.append(f"# HELP {measure.name} {measure.doc}\n# TYPE {measure.name} {kind}\n")
        for sample in samples.get(measure.name, ()):
            key = measure.labels, sample.labels
            if key not in labels:
                labels[key] = _labels(*key)
            lines.append(f"{measure.name}{labels[key]} {_number(sample.value)}\n")
    return "".join(lines).encode()


@lru_cache(maxsize=4096)
def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """A share has many samples, so its labels are written once."""
    pairs = sorted(zip(names, values, strict=True))
    text = ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs)
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
