# SPDX-License-Identifier: Apache-2.0
"""Random tenants, what they hold, and what they want."""

from hypothesis import strategies as st
from msgspec.structs import replace

from gpushare.model.ids import ShareId
from gpushare.model.share import Decision
from gpushare.model.spec import Priority
from gpushare.scheduler import decide
from support.scheduling.small_machine import has, lab, policy, tenant, wish
from support.scheduling.values import gpu

NAMES = ("ann", "bob", "eve", "lab")
SIZES = st.sampled_from([10, 20, 30, 40, 60])
COMPUTE = st.sampled_from([None, None, 20, 50, 80])


@st.composite
def rules(draw, gpus=2, **changes):
    """Guarantees that can be kept: each takes from what its parent, or the machine, has left."""
    left = {None: [gpus * 80, gpus * 100]}
    tenants = {}
    for name in ("lab", "ann", "bob", "eve"):
        parent = draw(st.sampled_from([None, "lab"])) if name in {"ann", "bob"} else None
        gib, percent = (draw(st.integers(0, figure // 10)) * 10 for figure in left[parent])
        left[parent] = [left[parent][0] - gib, left[parent][1] - percent]
        left[name] = [gib, percent]
        tenants[name] = tenant(gib, percent, parent=parent, weight=draw(st.integers(1, 3)))
    return policy(tenants, min_runtime=draw(st.sampled_from([0, 600])), **changes)


@st.composite
def states(draw, gpus=2, most=4):
    """Shares as they would have been granted, one after the other."""
    state = lab(draw(rules(gpus)), *(gpu(index) for index in range(gpus)))
    for number in range(draw(st.integers(0, most))):
        state = _granted(draw, state, f"s{number}", minutes=60 - 7 * number)
    ids = [share.id for share in state.shares]
    some = st.sets(st.sampled_from(ids)) if ids else st.just(set())
    usage = {name: draw(st.integers(0, 10**6)) * 1.0 for name in NAMES}
    return replace(
        state,
        unmovable=dict.fromkeys(draw(some), "fixed"),
        unmigratable=dict.fromkeys(draw(some), "rooted"),
        usage=usage,
    )


@st.composite
def full(draw, gpus=2, most=4):
    """Most is borrowed, and one tenant is guaranteed most."""
    gib, percent = draw(st.integers(8, 16)) * 10, draw(st.integers(0, 20)) * 10
    few = draw(st.integers(0, 16 - gib // 10)) * 10
    tenants = {
        "lab": tenant(gib, percent),
        "ann": tenant(parent="lab"),
        "bob": tenant(few, weight=3),
        "eve": tenant(),
    }
    state = lab(policy(tenants), *(gpu(index) for index in range(gpus)))
    for number in range(3 * most):
        if len(state.shares) < most:
            state = _granted(draw, state, f"s{number}", minutes=60 - number)
    ids = [share.id for share in state.shares]
    some = st.sets(st.sampled_from(ids)) if ids else st.just(set())
    return replace(
        state,
        unmovable=dict.fromkeys(draw(some), "fixed"),
        unmigratable=dict.fromkeys(draw(some), "rooted"),
    )


def _granted(draw, state, name, minutes):
    asked = draw(requests())
    answer = decide(state, asked)
    if not isinstance(answer, Decision):
        return state
    share = replace(has(name, asked.tenant, minutes=minutes), spec=asked.spec, decision=answer)
    return replace(state, shares=(*state.shares, share))


@st.composite
def requests(draw, name=""):
    return wish(
        draw(st.sampled_from(NAMES)),
        draw(SIZES),
        draw(COMPUTE),
        name=name,
        minutes=draw(st.integers(0, 120)),
        gpus=draw(st.sampled_from([1, 1, 1, 2])),
        priority=draw(st.sampled_from(Priority)),
        borrow=draw(st.sampled_from([True, True, True, False])),
    )


QUEUES = st.lists(requests(), max_size=8).map(
    lambda found: [replace(request, id=ShareId(f"q{n}")) for n, request in enumerate(found)]
)
OWED = st.builds(
    lambda gib, compute, gpus, who: wish(who, gib, compute, gpus=gpus),
    SIZES,
    COMPUTE,
    st.sampled_from([1, 1, 2]),
    st.sampled_from(["lab", "ann"]),
)
CASES = st.one_of(st.tuples(states(), requests()), st.tuples(full(), OWED))
CROWDS = st.one_of(
    st.tuples(states(gpus=3, most=8), requests()), st.tuples(full(gpus=3, most=9), OWED)
)
