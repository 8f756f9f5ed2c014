# SPDX-License-Identifier: Apache-2.0
"""What a share's GPUs must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.model.errors import BadSpecError, GpushareError, NeverFitsError
from gpushare.model.units import GIB
from gpushare.scheduler import decide, selectors
from gpushare.scheduler.request.select import parse
from support.scheduling.values import ask, gpu, snapshot, spec

BIG = gpu(0, 141, numa=0, compute_capability=(9, 0))
SMALL = gpu(1, 40, numa=1, compute_capability=(8, 0))
BARE = gpu(2, 80)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("memory>=40GiB", {0, 1, 2}),
        ("memory > 40GiB", {0, 2}),
        ("memory<80GiB", {1}),
        ("memory<=80GiB", {1, 2}),
        ("memory!=80GiB", {0, 1}),
        ("memory=40G", {1}),
        ("model=sIm", {0, 1, 2}),
        ("model=H200", set()),
        ("model!=H200", {0, 1, 2}),
        ("uuid=gpu-1", {1}),
        ("uuid!=GPU-1", {0, 2}),
        ("numa=0", {0}),
        ("numa!=0", {1}),
        ("cc>=9.0", {0}),
        ("cc>=8", {0, 1}),
        ("cc<9", {1}),
        ("cc!=9.0", {1}),
    ],
)
def test_a_selector_accepts_what_it_names_and_nothing_unknown(text, accepted):
    found = {one.index for one in (BIG, SMALL, BARE) if parse(text).accepts(one)}
    assert found == accepted


@pytest.mark.parametrize(
    "text",
    ["", "model", "colour=red", "model>=H200", "memory>=lots", "cc=nine", "numa=-1", "numa>0",
     "uuid<GPU", "memory=", "=40GiB", "model==H200", "cc=9.0.1", "memory>=1=2", "mo del=x"],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_what_there_is(text):
    with pytest.raises(BadSpecError) as caught:
        selectors(spec(8, select=(text,)))
    assert "model (part of the name)" in caught.value.because
    assert "memory>=40GiB" in caught.value.hint


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        assert parse(text).text == text.strip()
    except GpushareError as error:
        assert isinstance(error, BadSpecError)  # noqa: PT017


def test_all_selectors_must_hold():
    state = snapshot(BIG, SMALL, BARE)
    assert decide(state, ask(8, select=("memory>=40GiB", "cc<9.0"))).gpus == ("GPU-1",)
    assert decide(state, ask(8, select=("memory>40GiB", "numa=0"))).gpus == ("GPU-0",)


def test_no_gpu_as_wanted_is_reported_with_what_they_are():
    with pytest.raises(NeverFitsError) as caught:
        decide(snapshot(BIG, BARE), ask(8, select=("cc>=10.0",)))
    assert caught.value.because == (
        "GPU 0 is not cc>=10.0: its cc is 9.0; GPU 2 is not cc>=10.0: its cc is not known"
    )


def test_a_selector_counts_together_with_named_gpus():
    with pytest.raises(NeverFitsError):
        decide(snapshot(BIG, SMALL), ask(8, gpu=("0",), select=("numa=1",)))


def test_memory_is_that_of_the_card():
    reserved = gpu(0, 40, memory_reserved=GIB)
    assert decide(snapshot(reserved), ask(8, select=("memory>=40GiB",))).gpus == ("GPU-0",)
