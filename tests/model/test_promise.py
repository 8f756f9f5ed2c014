# SPDX-License-Identifier: Apache-2.0
from msgspec.structs import replace

from gpushare.model.promise import Claim, Promise, enforcement, unprotected
from gpushare.model.share import Enforcement, Level
from gpushare.model.spec import MechanismName

BASE = Promise(
    mechanism=MechanismName.TIMESLICE,
    memory=Claim(but="no memory limit"),
    fault=Claim(level=Level.COOPERATIVE, but="most faults"),
    also=("timing",),
)
LAYER = Promise(
    mechanism=MechanismName.GUARD,
    memory=Claim(level=Level.COOPERATIVE, but="honest programs"),
    layer=True,
)
ALONE = Promise(
    mechanism=MechanismName.EXCLUSIVE,
    memory=Claim(but="not below"),
    alone=True,
    card=Claim(level=Level.ENFORCED),
)
OPEN = Claim(level=Level.COOPERATIVE, but="others can use it")


def test_the_strongest_claim_of_a_stack_counts() -> None:
    found = enforcement((BASE, LAYER), whole=False)
    assert found == Enforcement(memory=Level.COOPERATIVE, fault=Level.COOPERATIVE)


def test_a_layer_cures_what_its_base_leaves_open() -> None:
    assert unprotected((BASE,), whole=False) == ("no memory limit", "most faults", "timing")
    assert unprotected((BASE, LAYER), whole=False) == ("honest programs", "most faults", "timing")


def test_alone_on_a_whole_gpu_the_card_is_the_limit() -> None:
    whole = enforcement((ALONE,), whole=True)
    assert (whole.memory, whole.compute) == (Level.ENFORCED, Level.ENFORCED)
    assert enforcement((ALONE,), whole=False).memory is Level.NONE
    assert enforcement((BASE,), whole=True).memory is Level.NONE
    assert "not below" in unprotected((ALONE,), whole=False)
    assert "not below" not in unprotected((ALONE,), whole=True)


def test_a_base_that_does_not_keep_others_away_says_so() -> None:
    base = replace(ALONE, card=OPEN)
    assert enforcement((base,), whole=True).memory is Level.COOPERATIVE
    assert "others can use it" in unprotected((base,), whole=True)
    assert "others can use it" not in unprotected((base,), whole=False)


def test_no_mechanism_promises_nothing() -> None:
    assert enforcement((), whole=True) == Enforcement()
    assert unprotected((), whole=False) == ()
