# SPDX-License-Identifier: Apache-2.0
"""Specs from the words that people write."""

import pytest

from gpushare.cli._group import Verbs
from gpushare.model.errors import BadQuantityError, BadSpecError
from gpushare.model.spec import ComputeAsk, Isolation, MechanismName, MemoryAsk, Priority, ShareSpec
from gpushare.model.units import GIB
from gpushare.model.view import UpdateRequest
from gpushare.session.spec_options import SPEC_FIELDS, SpecOptions, changes, spec


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


def test_changes_name_only_what_changes() -> None:
    found = changes(compute="25%", ttl="2h")
    assert found.compute == ComputeAsk(limit=25)
    assert (found.memory, found.priority, found.ttl) == (None, None, 7200)
    assert changes(memory="8GiB", memory_request="2GiB").memory == MemoryAsk(
        limit=8 * GIB, request=2 * GIB
    )
    assert changes(priority="low").priority is Priority.LOW


@pytest.mark.parametrize("wish", [{"memory_request": "1GiB"}, {"compute_request": "10"}])
def test_a_request_changes_with_its_limit(wish: dict[str, str]) -> None:
    with pytest.raises(BadSpecError, match="together"):
        changes(**wish)


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"compute": "0"}, BadQuantityError),
        ({"memory": "lots"}, BadQuantityError),
        ({"priority": "urgent"}, BadSpecError),
        ({"ttl": "soon"}, BadQuantityError),
    ],
)
def test_changes_that_make_no_sense_are_refused(wish: dict[str, str], error: type) -> None:
    with pytest.raises(error):
        changes(**wish)


def test_turns_are_asked_for() -> None:
    assert spec(turns=True).turns
    assert not spec().turns


def test_every_field_of_a_spec_has_its_row_and_every_row_its_type() -> None:
    assert {field.field for field in SPEC_FIELDS} == set(ShareSpec.__struct_fields__)
    assert [field.keyword for field in SPEC_FIELDS] == [*SpecOptions.__annotations__]
    live = {field.field for field in SPEC_FIELDS if field.live}
    assert live == set(UpdateRequest.__struct_fields__)


@pytest.mark.parametrize("verb", ["run", "create", "update"])
def test_the_command_line_has_an_option_for_each_row(verb: str) -> None:
    given = {name for option in Verbs()[verb].params for name in option.opts}
    rows = [field for field in SPEC_FIELDS if field.live or verb != "update"]

    assert {flag for field in rows for flag in field.flags} <= given


def test_an_option_that_is_not_given_keeps_the_default() -> None:
    assert spec(**dict.fromkeys(SpecOptions.__annotations__)) == ShareSpec()


def test_a_keyword_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="memroy"):
        spec(memroy="1GiB")
    with pytest.raises(TypeError, match="gpus"):
        changes(gpus=2)


def test_labels_are_a_mapping_or_texts() -> None:
    assert spec(labels={"team": "a"}) == spec(labels=("team=a",))
    with pytest.raises(BadSpecError, match="team"):
        spec(labels=("team",))
