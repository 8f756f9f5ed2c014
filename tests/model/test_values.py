# SPDX-License-Identifier: Apache-2.0
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.model.edits import Edits, merge
from gpushare.model.errors import BadSpecError
from gpushare.model.share import Level, Moved, State, Suspension, Tier
from gpushare.model.spec import ComputeAsk, MemoryAsk, ShareSpec

names = st.dictionaries(st.sampled_from("ABC"), st.text(max_size=3))
words = st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple)
edits = st.builds(
    Edits, env=names, unset=words, preload=words, cgroup=st.sampled_from([None, "/a", "/b"])
)


def test_a_misspelt_field_is_an_error():
    with pytest.raises(msgspec.ValidationError, match="memroy"):
        msgspec.json.decode(b'{"memroy": {}}', type=ShareSpec)


def test_values_do_not_change():
    with pytest.raises(AttributeError):
        ShareSpec().gpus = 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: MemoryAsk(limit=5, share=5),
        lambda: MemoryAsk(limit=5, request=6),
        lambda: MemoryAsk(limit=0),
        lambda: ComputeAsk(limit=101),
        lambda: ComputeAsk(limit=0),
        lambda: ComputeAsk(limit=10, request=11),
        lambda: ShareSpec(gpus=0),
        lambda: ShareSpec(ttl=0),
        lambda: ShareSpec(ttl=99_999_999 * 86400),
        lambda: MemoryAsk(limit=8),
        lambda: MemoryAsk(share=-1),
        lambda: MemoryAsk(share=0),
        lambda: MemoryAsk(share=101),
        lambda: ShareSpec(gpus=2, gpu=("0",)),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(make):
    with pytest.raises(BadSpecError):
        make()


@pytest.mark.parametrize(("limit", "named"), [(8, "8 B"), (8 << 10, "8 KiB")])
def test_a_limit_that_lacks_its_unit_is_refused_as_one_that_holds_no_context(limit, named):
    with pytest.raises(BadSpecError, match=f"a memory limit of {named}: a CUDA context"):
        MemoryAsk(limit=limit)


@given(edits, edits, edits)
def test_merging_edits_is_associative(a, b, c):
    assert (a | b) | c == a | (b | c)


@given(edits)
def test_nothing_changes_nothing(a):
    assert merge(Edits(), a) == a == merge(a, Edits())


def test_the_right_edit_wins():
    assert (Edits(env={"A": "1"}) | Edits(env={"A": "2"})).env == {"A": "2"}
    assert (Edits(unset=("A", "B")) | Edits(env={"A": "2"})).unset == ("B",)


def test_levels_are_ordered_by_strength():
    assert [level for level in Level if level.at_least(Level.COOPERATIVE)] == [
        Level.ENFORCED,
        Level.COOPERATIVE,
    ]


def test_a_share_holds_capacity_or_has_ended_or_waits():
    assert {s for s in State if not s.holds and not s.ended} == {State.QUEUED}


def test_a_tier_is_read_by_its_older_name_and_written_by_its_own():
    suspension = msgspec.json.decode(
        b'{"cause":"user","since":"2026-01-01T00:00:00Z","tier":"deep"}', type=Suspension
    )
    assert suspension.tier is Tier.CHECKPOINT
    assert msgspec.json.decode(b'{"deep":{}}', type=dict[Tier, Moved]) == {Tier.CHECKPOINT: Moved()}
    assert msgspec.to_builtins(suspension)["tier"] == "checkpoint"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'"depth"', type=Tier)
