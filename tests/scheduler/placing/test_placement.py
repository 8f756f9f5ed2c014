# SPDX-License-Identifier: Apache-2.0
"""Which of the GPUs that fit is taken: by policy, and by what programs did to each other."""

import pytest
from msgspec.structs import replace

from gpushare.model.policy.tenant import Placement, Policy
from gpushare.model.profile import Profile
from gpushare.model.share import Cause, State, Suspension
from gpushare.scheduler import decide
from gpushare.scheduler.request.interference import Interference
from support.scheduling.values import NOW, ask, gpu, snapshot, taken

SPREAD = Policy(placement=Placement.SPREAD)


def profile(program, beside="", rate=100.0, seconds=60.0):
    return Profile(program=program, beside=beside, seconds=seconds, work=rate * seconds)


def running(program, **changes):
    return replace(ask(8, **changes), program=program, tenant="lin")


def measured(train, serve):
    """How fast each is next to the other, of 100 alone."""
    return (
        profile("train.py"),
        profile("serve.py"),
        profile("train.py", "serve.py", train),
        profile("serve.py", "train.py", serve),
    )


def with_server(profiles, policy=None):
    """GPU 0 with serve.py, GPU 1 empty."""
    state = snapshot(gpu(0), gpu(1), profiles=profiles, policy=policy or Policy())
    return taken(state, running("serve.py", gpu=("0",)))


def test_pack_fills_a_gpu_that_is_in_use():
    found = decide(taken(snapshot(gpu(0), gpu(1)), ask(8, gpu=("1",))), ask(8))
    assert found.gpus == ("GPU-1",)
    assert "packed: of the GPUs that fit, GPU 1 is the fullest" in found.why


def test_spread_takes_the_emptiest():
    state = snapshot(gpu(0), gpu(1), gpu(2), policy=SPREAD)
    state = taken(state, *[ask(8)] * 5)
    where = [share.decision.gpus[0] for share in state.shares]
    assert where == ["GPU-0", "GPU-1", "GPU-2", "GPU-0", "GPU-1"]
    assert "spread: of the GPUs that fit, GPU 2 is the emptiest" in decide(state, ask(8)).why


def test_spread_means_few_neighbours_then_much_memory():
    state = snapshot(gpu(0, 80), gpu(1, 141), gpu(2, 141), policy=SPREAD)
    state = taken(state, ask(100, gpu=("2",)))
    assert decide(state, ask(8)).gpus == ("GPU-1",)
    state = taken(state, ask(8, gpu=("0",)), ask(8, gpu=("1",)))
    assert decide(state, ask(8)).gpus == ("GPU-1",)


def test_the_only_gpu_that_fits_is_stated_unless_there_is_only_one():
    state = taken(snapshot(gpu(0), gpu(1)), ask(70, gpu=("0",)))
    assert "GPU 1 is all that fits now" in decide(state, ask(20)).why
    assert not [line for line in decide(snapshot(gpu()), ask(8)).why if "fit" in line]


def test_a_neighbour_that_hurts_is_avoided_and_that_is_stated():
    found = decide(with_server(measured(train=100 / 1.8, serve=90)), running("train.py"))
    assert found.gpus == ("GPU-1",)
    assert "not GPU 0, where train.py ran 1.8 times slower next to serve.py" in found.why


def test_what_the_neighbour_suffers_counts_as_much():
    found = decide(with_server(measured(train=100, serve=50)), running("train.py"))
    assert "not GPU 0, where serve.py ran 2.0 times slower next to train.py" in found.why


@pytest.mark.parametrize("rate", [95, 100, 120])
def test_noise_does_not_decide(rate):
    found = decide(with_server(measured(train=rate, serve=96)), running("train.py"))
    assert found.gpus == ("GPU-0",)
    assert not [line for line in found.why if "slower" in line]


def test_too_short_a_look_does_not_decide():
    short = tuple(replace(one, seconds=59.0) for one in measured(train=10, serve=10))
    assert decide(with_server(short), running("train.py")).gpus == ("GPU-0",)


def test_looks_at_the_same_pair_add_up():
    once = [profile("a", seconds=60), profile("a", "b", 50, seconds=30)]
    assert Interference(once).slowdown("a", "b") is None
    assert Interference([*once, once[1]]).slowdown("a", "b") == 2


def test_a_program_that_stood_still_is_slow_and_one_that_never_ran_is_unknown():
    assert Interference([profile("a"), profile("a", "b", 0)]).slowdown("a", "b") == 100
    assert Interference([profile("a", rate=0), profile("a", "b")]).slowdown("a", "b") is None
    assert Interference([profile("a")]).slowdown("", "a") is None


def test_harm_is_borne_where_there_is_no_other_room():
    state = with_server(measured(train=50, serve=50))
    state = taken(state, ask(75, gpu=("1",)))
    assert decide(state, running("train.py")).gpus == ("GPU-0",)


def test_the_least_harm_is_chosen_among_harms():
    profiles = (
        *measured(train=50, serve=50),
        profile("mail.py"),
        profile("train.py", "mail.py", 80),
    )
    state = taken(with_server(profiles), running("mail.py", gpu=("1",)))
    assert decide(state, running("train.py")).gpus == ("GPU-1",)


def test_programs_of_other_tenants_are_not_named():
    state = with_server(measured(train=50, serve=100))
    found = decide(state, replace(running("train.py"), tenant="mia"))
    assert "not GPU 0, where train.py ran 2.0 times slower next to a program of others" in found.why
    state = with_server(measured(train=100, serve=50))
    found = decide(state, replace(running("train.py"), tenant="mia"))
    assert "not GPU 0, where a program of others ran 2.0 times slower next to train.py" in found.why


def test_a_suspended_neighbour_hurts_no_other():
    state = with_server(measured(train=50, serve=50))
    away = Suspension(cause=Cause.USER, since=NOW)
    aside = replace(state.shares[0], state=State.SUSPENDED, suspension=away)
    found = decide(replace(state, shares=(aside,)), running("train.py"))
    assert found.gpus == ("GPU-0",)
