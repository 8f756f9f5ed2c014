# SPDX-License-Identifier: Apache-2.0
"""What holds for every machine, whatever is asked for, in whichever order."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.model.errors import GpushareError
from gpushare.model.share import Decision
from gpushare.model.spec import ComputeAsk, Isolation, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB
from gpushare.scheduler import Request, Waiting, decide
from support.scheduling.values import USUAL, gpu, holding, snapshot

MEMORY = st.one_of(
    st.just(MemoryAsk()),
    st.builds(lambda n: MemoryAsk(share=n), st.integers(1, 100)),
    st.builds(lambda n: MemoryAsk(limit=n * GIB), st.integers(1, 90)),
    st.builds(
        lambda more, request: MemoryAsk(limit=(more + request) * GIB, request=request * GIB),
        st.integers(1, 40),
        st.integers(1, 40),
    ),
)
SPECS = st.builds(
    ShareSpec,
    memory=MEMORY,
    compute=st.builds(lambda n: ComputeAsk(limit=n), st.integers(1, 100)),
    isolation=st.sampled_from(Isolation),
    gpus=st.integers(1, 2),
    mechanism=st.sampled_from([None, None, None, *MechanismName]),
)
TURNS = st.builds(lambda spec: replace(spec, gpus=1, isolation=Isolation.ANY, turns=True), SPECS)
REQUESTS = st.builds(Request, spec=st.one_of(SPECS, TURNS), uid=st.sampled_from([1, 2]))
MACHINES = st.builds(
    lambda sizes, more: snapshot(
        *(gpu(index, size, memory_reserved=GIB // 2) for index, size in enumerate(sizes)),
        has=(*USUAL, *more),
    ),
    st.lists(st.sampled_from([24, 80]), min_size=1, max_size=3),
    st.sampled_from([(), ("driver-limit",)]),
)
QUEUES = st.lists(REQUESTS, max_size=12)


def play(state, requests):
    """Serve a line of requests as the daemon does; each with its answer and the state it met."""
    told = []
    for number, request in enumerate(requests):
        try:
            answer = decide(state, request)
        except GpushareError as error:
            answer = error
        told.append((state, request, answer))
        if isinstance(answer, Decision):
            share = holding(answer, request, f"s{number}")
            state = replace(state, shares=(*state.shares, share))
        elif isinstance(answer, Waiting):
            state = replace(state, queue=(*state.queue, request))
    return state, told


@given(MACHINES, QUEUES)
def test_nothing_is_granted_twice(state, requests):
    state, _ = play(state, requests)
    for one in state.machine.gpus:
        plain, turns = (
            [
                grant
                for share in state.shares
                for grant in share.decision.grants
                if grant.gpu == one.uuid and share.spec.turns == wanted
            ]
            for wanted in (False, True)
        )
        memory = sum(g.request for g in plain) + max((g.request for g in turns), default=0)
        compute = [g.compute_request for g in turns]
        assert memory <= one.usable
        assert sum(g.compute_request for g in plain) + max(compute, default=0) <= 100
        assert all(grant.limit <= one.usable for grant in (*plain, *turns))


@given(MACHINES, QUEUES)
def test_mps_serves_one_user_and_a_share_alone_has_no_company(state, requests):
    state, _ = play(state, requests)
    for one in state.machine.gpus:
        here = [share for share in state.shares if one.uuid in share.decision.gpus]
        bases = [share.decision.mechanisms[0] for share in here]
        if MechanismName.EXCLUSIVE in bases:
            assert len(here) == 1
        mps = {s.uid for s in here if s.decision.mechanisms[0] is MechanismName.MPS}
        assert len(mps) <= 1


@given(MACHINES, QUEUES)
def test_a_share_that_passes_leaves_the_first_what_it_needs(state, requests):
    """When all that were there before the first began to wait have gone, it fits."""
    _, told = play(state, requests)
    first = next((n for n, (*_, answer) in enumerate(told) if isinstance(answer, Waiting)), None)
    if first is None:
        return
    met, request, _ = told[first]
    last = told[-1][0]
    passed = tuple(share for share in last.shares if share not in met.shares)
    assert isinstance(decide(replace(last, shares=passed, queue=()), request), Decision)


@given(MACHINES, QUEUES)
def test_the_same_question_has_the_same_answer(state, requests):
    first, second = play(state, requests)[1], play(state, requests)[1]
    assert [str(answer) for *_, answer in first] == [str(answer) for *_, answer in second]


@given(MACHINES, QUEUES)
def test_every_answer_is_explained(state, requests):
    for _, request, answer in play(state, requests)[1]:
        if isinstance(answer, Decision):
            assert len(answer.grants) == len(set(answer.gpus)) == request.spec.gpus
            assert len(answer.why) >= 2
            assert all(answer.why)
        elif isinstance(answer, Waiting):
            assert answer.waits_for
            assert answer.position >= 1
        else:
            assert answer.what
            assert answer.because
            assert answer.hint
