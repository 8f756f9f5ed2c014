# SPDX-License-Identifier: Apache-2.0
"""The Prometheus metrics: one table, from which the exposition and its documentation are made."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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

MEASURES = (
    Measure(name="gpushare_info", doc="Always 1; versions as labels", labels=("version", "driver")),
    Measure(name="gpushare_shares", doc="Shares that have not ended", labels=("state",)),
    Measure(name="gpushare_gpu_memory_total_bytes", doc="Memory of the GPU", labels=_GPU),
    Measure(name="gpushare_gpu_memory_reserved_bytes", doc="Kept by the driver", labels=_GPU),
    Measure(name="gpushare_gpu_memory_granted_bytes", doc="Guaranteed to shares", labels=_GPU),
    Measure(name="gpushare_gpu_memory_used_bytes", doc="Used by all programs", labels=_GPU),
    Measure(name="gpushare_gpu_compute_granted_ratio", doc="Guaranteed to shares", labels=_GPU),
    Measure(name="gpushare_gpu_utilisation_ratio", doc="Time with work on the GPU", labels=_GPU),
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
    registry = CollectorRegistry()
    registry.register(_Snapshot(samples))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, samples: Mapping[str, Iterable[Sample]]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        for measure in MEASURES:
            kind = CounterMetricFamily if measure.counter else GaugeMetricFamily
            family = kind(measure.name, measure.doc, labels=measure.labels)
            for sample in self._samples.get(measure.name, ()):
                family.add_metric(sample.labels, sample.value)
            yield family
