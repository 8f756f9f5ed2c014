# SPDX-License-Identifier: Apache-2.0
"""Specs from the words that people write."""

import pytest

from gpushare.client.spec import spec
from gpushare.model.errors import BadQuantityError, BadSpecError
from gpushare.model.spec import Isolation, MechanismName, Priority
from gpushare.model.units import GIB


def test_words_become_a_spec() -> None:
    found = spec(
        memory="8GiB",
        memory_request="4GiB",
        compute="40%",
        compute_request=20,
        priority="high",
        isolation="strong",
        gpus=2,
        gpu=(0, "GPU-1"),
        mechanism="mps",
        name="train",
        ttl="2h",
        labels={"team": "a"},
    )

    assert (found.memory.limit, found.memory.request) == (8 * GIB, 4 * GIB)
    assert (found.compute.limit, found.compute.request) == (40, 20)
    assert found.priority is Priority.HIGH
    assert found.isolation is Isolation.STRONG
    assert found.gpu == ("0", "GPU-1")
    assert found.mechanism is MechanismName.MPS
    assert found.ttl == 7200


def test_memory_may_be_bytes_or_a_percentage() -> None:
    assert spec(memory=GIB).memory.limit == GIB
    assert spec(memory="20%").memory.share == 20


def test_nothing_asked_is_a_whole_gpu_by_any_mechanism() -> None:
    found = spec()

    assert (found.memory.limit, found.compute.limit, found.mechanism) == (None, 100, None)


@pytest.mark.parametrize(
    "words",
    [
        {"memory": "lots"},
        {"memory": "-1GiB"},
        {"memory": "101%"},
        {"compute": "0"},
        {"compute": "12.5"},
        {"ttl": "soon"},
        {"ttl": 0},
    ],
)
def test_malformed_quantities_are_refused(words) -> None:
    with pytest.raises(BadQuantityError) as refused:
        spec(**words)

    assert refused.value.hint


@pytest.mark.parametrize(
    "words",
    [
        {"memory": 0},
        {"priority": "urgent"},
        {"isolation": "total"},
        {"mechanism": "magic"},
        {"gpus": 0},
        {"gpus": 2, "gpu": ("0",)},
        {"memory": "1GiB", "memory_request": "2GiB"},
        {"compute": 10, "compute_request": 20},
    ],
)
def test_specs_that_cannot_be_are_refused(words) -> None:
    with pytest.raises(BadSpecError):
        spec(**words)
