# SPDX-License-Identifier: Apache-2.0
"""Shares of several GPUs get those that are joined best."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.scheduler import decide
from gpushare.scheduler.request.topology import Links, best, worth
from support.scheduling.values import ask, gpu, snapshot, taken

KINDS = ["NV18", "NV4", "NV2", "PIX", "PXB", "PHB", "NODE", "SYS", ""]


def joined(state, pairs, other="SYS"):
    """The state with these links, and `other` between all other pairs."""
    uuids = [one.uuid for one in state.machine.gpus]
    links = {one: {two: other for two in uuids if two != one} for one in uuids}
    for (one, two), name in pairs.items():
        links[f"GPU-{one}"][f"GPU-{two}"] = links[f"GPU-{two}"][f"GPU-{one}"] = name
    return replace(state, machine=replace(state.machine, links=links))


@st.composite
def machines(draw):
    """Up to seven GPUs on two nodes, joined any way, and how many are wanted."""
    count = draw(st.integers(2, 7))
    gpus = [gpu(index, numa=draw(st.sampled_from([0, 1, None]))) for index in range(count)]
    pairs = {pair: draw(st.sampled_from(KINDS)) for pair in combinations(range(count), 2)}
    return joined(snapshot(*gpus), pairs), draw(st.integers(2, count))


def test_links_are_ordered_from_the_fastest():
    assert sorted(KINDS, key=worth, reverse=True) == KINDS


@given(machines())
def test_no_other_set_is_joined_better(given_):
    state, count = given_
    gpus, links = state.machine.gpus, Links(state.machine)
    chosen = best(links, gpus, count)
    by_hand = max(
        combinations(range(len(gpus)), count),
        key=lambda places: (
            min(worth(links.name(gpus[a].uuid, gpus[b].uuid)) for a, b in combinations(places, 2)),
            sum(worth(links.name(gpus[a].uuid, gpus[b].uuid)) for a, b in combinations(places, 2)),
            -len({gpus[place].numa for place in places}),
        ),
    )
    assert chosen == by_hand


def test_the_worst_link_counts_before_the_sum():
    pairs = {(0, 1): "NV18", (0, 2): "SYS", (1, 2): "NV18", (3, 4): "PIX", (3, 5): "PIX"}
    state = joined(snapshot(*(gpu(n) for n in range(6))), {**pairs, (4, 5): "PIX"})
    found = decide(state, ask(8, gpus=3))
    assert found.gpus == ("GPU-3", "GPU-4", "GPU-5")
    assert "GPUs 3, 4, 5 are joined by PIX at worst" in found.why


def test_more_wires_are_better_than_fewer():
    state = joined(snapshot(*(gpu(n) for n in range(4))), {(0, 1): "NV2", (2, 3): "NV4"})
    assert decide(state, ask(8, gpus=2)).gpus == ("GPU-2", "GPU-3")


def test_of_equal_links_one_node_is_preferred():
    gpus = [gpu(index, numa=index % 2) for index in range(4)]
    found = decide(joined(snapshot(*gpus), {}, other="NV18"), ask(8, gpus=2))
    assert found.gpus == ("GPU-0", "GPU-2")


def test_only_gpus_with_room_are_joined():
    state = joined(snapshot(*(gpu(n) for n in range(4))), {(0, 1): "NV18", (1, 2): "PIX"})
    state = taken(state, ask(60, gpu=("0",)))
    assert decide(state, ask(40, gpus=2)).gpus == ("GPU-1", "GPU-2")


def test_a_share_of_one_gpu_leaves_a_well_joined_set_whole():
    state = joined(snapshot(*(gpu(n) for n in range(3))), {(0, 1): "NV18"})
    assert decide(state, ask(8)).gpus == ("GPU-2",)


def test_a_gpu_in_use_is_filled_even_where_it_is_joined_well():
    state = joined(snapshot(*(gpu(n) for n in range(3))), {(0, 1): "NV18"})
    state = taken(state, ask(8, gpu=("0",)))
    assert decide(state, ask(8)).gpus == ("GPU-0",)


@pytest.mark.parametrize("wanted", [4, 8])
def test_sixteen_gpus_of_two_boards(wanted):
    gpus = [gpu(index, numa=index // 8) for index in range(16)]
    board = {p: "NV12" for p in combinations(range(16), 2) if p[0] // 8 == p[1] // 8}
    state = joined(snapshot(*gpus), board)
    state = taken(state, ask(8, gpu=("0",)), ask(8, gpu=("3",)))
    chosen = {int(uuid[4:]) // 8 for uuid in decide(state, ask(8, gpus=wanted)).gpus}
    assert len(chosen) == 1


def test_of_too_many_sets_a_good_one_is_found():
    gpus = [gpu(index, numa=index // 8) for index in range(32)]
    board = {p: "NV12" for p in combinations(range(32), 2) if p[0] // 8 == p[1] // 8}
    state = joined(snapshot(*gpus), board)
    chosen = {int(uuid[4:]) // 8 for uuid in decide(state, ask(8, gpus=8)).gpus}
    assert len(chosen) == 1


def test_without_links_any_set_will_do():
    found = decide(snapshot(gpu(0), gpu(1), gpu(2)), ask(8, gpus=2))
    assert found.gpus == ("GPU-0", "GPU-1")
    assert "GPUs 0, 1: links are not known" in found.why
