# SPDX-License-Identifier: Apache-2.0
"""Shares that must be on the same GPUs, and shares that must not."""

import pytest
from msgspec.structs import replace

from gpushare.model.policy.tenant import Policy, Visibility
from gpushare.model.share import Decision
from gpushare.scheduler import Waiting, decide
from support.scheduling.values import ask, gpu, snapshot, taken

WEB, BATCH = {"app": "web", "tier": "1"}, {"app": "batch"}


def of(tenant, gib=8, **changes):
    return replace(ask(gib, **changes), tenant=tenant)


def two_gpus(*requests):
    return taken(snapshot(gpu(0), gpu(1)), *requests)


def test_near_means_only_gpus_with_such_a_share():
    state = two_gpus(of("lin", labels=WEB, gpu=("1",)), of("lin", labels=BATCH, gpu=("0",)))
    assert decide(state, of("lin", near={"app": "web"})).gpus == ("GPU-1",)
    assert decide(state, of("lin", near=BATCH)).gpus == ("GPU-0",)


def test_near_waits_until_such_a_share_is_there():
    found = decide(two_gpus(of("lin", labels=BATCH)), of("lin", near={"app": "web"}))
    assert found == Waiting(position=1, waits_for="a share with app=web on the same GPU")


def test_near_needs_all_labels_on_one_share():
    state = two_gpus(of("lin", labels={"a": "1"}), of("lin", labels={"b": "1"}))
    assert isinstance(decide(state, of("lin", near={"a": "1", "b": "1"})), Waiting)


def test_near_waits_for_room_there_and_nowhere_else():
    state = two_gpus(of("lin", 60, labels=WEB, gpu=("1",)))
    found = decide(state, of("lin", 40, near=WEB))
    assert "40 GiB of memory on GPU 1 (20 GiB free)" in found.waits_for


@pytest.mark.parametrize("labels", [WEB, {**WEB, "more": "x"}])
def test_apart_keeps_away_from_such_shares(labels):
    state = two_gpus(of("lin", labels=labels, gpu=("0",)))
    assert decide(state, of("lin", apart=WEB)).gpus == ("GPU-1",)
    named = decide(state, of("lin", apart=WEB, gpu=("0",)))
    assert named.waits_for == "GPU 0, where s0 has app=web,tier=1"


def test_apart_keeps_such_shares_away_as_well():
    state = two_gpus(of("lin", apart=WEB, gpu=("0",)))
    assert decide(state, of("lin", labels=WEB)).gpus == ("GPU-1",)
    named = decide(state, of("lin", labels=WEB, gpu=("0",)))
    assert named.waits_for == "GPU 0, where s0 is apart from app=web,tier=1"
    assert decide(state, of("lin", labels=BATCH)).gpus == ("GPU-0",)


def test_apart_from_its_own_kind_spreads_a_service():
    alike = {"labels": WEB, "apart": WEB}
    state = two_gpus(of("lin", **alike), of("lin", **alike))
    assert {share.decision.gpus for share in state.shares} == {("GPU-0",), ("GPU-1",)}
    assert isinstance(decide(state, of("lin", **alike)), Waiting)


def test_the_labels_of_other_tenants_are_neither_near_nor_apart():
    state = two_gpus(of("lin", labels=WEB, apart=BATCH, gpu=("0",)))
    assert isinstance(decide(state, of("mia", near=WEB)), Waiting)
    assert decide(state, of("mia", apart=WEB)).gpus == ("GPU-0",)
    assert decide(state, of("mia", labels=BATCH)).gpus == ("GPU-0",)


def test_a_share_of_several_gpus_is_near_on_each():
    state = two_gpus(of("lin", labels=WEB, gpu=("0",)))
    assert isinstance(decide(state, of("lin", near=WEB, gpus=2)), Waiting)
    state = taken(state, of("lin", labels=WEB, gpu=("1",)))
    assert isinstance(decide(state, of("lin", near=WEB, gpus=2)), Decision)


def test_a_share_that_waits_for_company_delays_no_other():
    state = replace(snapshot(gpu()), queue=(of("lin", 80, near=WEB),))
    assert isinstance(decide(state, of("lin", labels=WEB)), Decision)


def test_names_of_other_tenants_are_shown_only_where_the_policy_says_so():
    state = taken(snapshot(gpu()), of("lin"), of("mia"))
    place = decide(state, of("mia")).why[-1]
    assert "with s1, 1 share of others" in place
    open_ = replace(state, policy=Policy(visibility=Visibility.SHARES))
    assert "with s0, s1" in decide(open_, of("mia")).why[-1]
    alone = decide(state, replace(ask(), tenant="mia"))
    assert alone.waits_for == "GPU 0 to be empty (now: s1, 1 share of others)"
