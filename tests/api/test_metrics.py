# SPDX-License-Identifier: Apache-2.0
"""The table of metrics follows Prometheus' naming, and renders."""

import re
from collections import Counter

import pytest

from gpushare.api.metrics import MEASURES, Measure, Sample, render

EACH = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)


@EACH
def test_a_name_follows_the_conventions(measure: Measure) -> None:
    assert re.fullmatch(r"gpushare(_[a-z]+)+", measure.name)
    assert measure.name.endswith("_total") is measure.counter
    assert not re.search(r"_(ns|us|ms|kib|mib|gib|percent)(_|$)", measure.name), "not a base unit"


@EACH
def test_a_meaning_is_a_sentence_without_its_full_stop(measure: Measure) -> None:
    assert measure.doc[0].isupper() or measure.doc[0].isdigit()
    assert measure.doc[-1] != "."


def test_every_name_is_used_once() -> None:
    assert max(Counter(measure.name for measure in MEASURES).values()) == 1


def test_a_renamed_metric_is_exposed_under_both_names() -> None:
    labels = ("id", "train", "ana")
    new, old = "gpushare_share_sched_preemptions_total", "gpushare_share_gate_raises_total"
    text = render({name: [Sample(value=3, labels=labels)] for name in (new, old)}).decode()
    for name in (new, old):
        assert f'{name}{{name="train",share="id",user="ana"}} 3.0' in text
    assert f"# HELP {old} Deprecated: use {new}" in text


def test_a_sample_outside_the_table_is_refused() -> None:
    with pytest.raises(KeyError, match="gpushare_mystery"):
        render({"gpushare_mystery": []})
