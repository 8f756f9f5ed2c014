# SPDX-License-Identifier: Apache-2.0
"""Edits as an environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpushare.delivery.host import environment, environment_change
from gpushare.model.edits import Edits

GUARD = "/opt/libgpushare.so"


@pytest.mark.parametrize(
    ("own", "becomes"),
    [
        ("", GUARD),
        ("/lib/a.so", f"{GUARD}:/lib/a.so"),
        ("/lib/a.so /lib/b.so", f"{GUARD}:/lib/a.so:/lib/b.so"),
        (f"/lib/a.so:{GUARD}", f"{GUARD}:/lib/a.so"),
    ],
)
def test_our_library_goes_before_the_callers_own(own, becomes):
    assert environment_change(Edits(preload=(GUARD,)), own).env["LD_PRELOAD"] == becomes


def test_without_a_library_the_callers_own_is_left_alone():
    assert "LD_PRELOAD" not in environment_change(Edits(env={"A": "1"}), "/lib/a.so").env
    assert environment(Edits(), {"LD_PRELOAD": "/lib/a.so"}) == {"LD_PRELOAD": "/lib/a.so"}


def test_what_is_set_is_not_unset():
    edits = Edits(env={"A": "1"}, unset=("A", "B"))
    assert environment_change(edits).unset == ("B",)
    assert environment(edits, {"A": "0", "B": "0", "C": "0"}) == {"A": "1", "C": "0"}


@given(st.dictionaries(st.text(min_size=1), st.text()), st.lists(st.text(min_size=1)))
def test_rendering_twice_is_rendering_once(env, unset):
    edits = Edits(env=env, unset=tuple(unset), preload=(GUARD,))
    once = environment(edits, {"PATH": "/bin"})
    assert environment(edits, once) == once
