# SPDX-License-Identifier: Apache-2.0
"""The table of event types and the code that publishes them agree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpushare
from gpushare.daemon.policies.anomalies import AnomalyKind
from gpushare.model.event_types import EVENT_TYPES, names_of
from gpushare.model.policy.tenant import Rung
from gpushare.model.share import State

SOURCES = Path(gpushare.__file__).parent
COMPOSED = {  # from a value, by the beginning that the code gives
    "share.": {*(f"share.{state}" for state in State if state.ended), "share.turn", "share.waits"},
    "share.reclaimed.": {f"share.reclaimed.{rung}" for rung in Rung},
    "anomaly.": {f"anomaly.{kind}" for kind in AnomalyKind},
}


def trees() -> Iterator[ast.Module]:
    for room in ("daemon", "store"):
        for path in sorted((SOURCES / room).rglob("*.py")):
            yield ast.parse(path.read_text("utf-8"))


def published() -> Iterator[ast.expr]:
    """The types in all calls of `publish`."""
    calls = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call))
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr == "publish":
            yield call.args[0]


def texts() -> set[str]:
    nodes = (node for tree in trees() for node in ast.walk(tree))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in TYPES}


TYPES = set(EVENT_TYPES)


def test_every_published_type_is_in_the_table() -> None:
    literal = {arg.value for arg in published() if isinstance(arg, ast.Constant)}
    begun = {
        arg.values[0].value
        for arg in published()
        if isinstance(arg, ast.JoinedStr) and isinstance(arg.values[0], ast.Constant)
    }
    assert literal
    assert literal <= TYPES
    assert begun == COMPOSED.keys()
    assert set().union(*COMPOSED.values()) <= TYPES


def test_every_type_in_the_table_is_published() -> None:
    assert texts().union(*COMPOSED.values()) == TYPES


def test_every_type_says_when_it_happens() -> None:
    assert all(row.when[0].isupper() and row.when[-1] != "." for row in EVENT_TYPES.values())


@pytest.mark.parametrize(
    ("action", "names"),
    [
        ("share.quiet", ("share.quiet", "share.idle")),
        ("share.idle", ("share.idle", "share.quiet")),
        ("share.empty", ("share.empty",)),
        ("share.granted", ("share.granted",)),
        ("share.", ("share.",)),
        ("gpu.found", ("gpu.found", "gpu.recovered")),
    ],
)
def test_a_renamed_type_is_found_under_both_names(action: str, names: tuple[str, ...]) -> None:
    assert names_of(action) == names
