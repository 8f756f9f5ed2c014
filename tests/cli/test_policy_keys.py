# SPDX-License-Identifier: Apache-2.0
"""The reference of the policy file leaves no key out."""

import pytest

from gpushare.cli._format.policy_keys import MEANINGS, policy_keys
from gpushare.model.policy.tenant import Amount, IdlePolicy, Policy, SizingPolicy, TenantSpec


@pytest.mark.parametrize("kind", [Policy, TenantSpec, Amount, IdlePolicy, SizingPolicy])
def test_every_key_has_a_meaning(kind):
    tables = {"tenants", "default", "idle", "sizing"}
    assert MEANINGS[kind].keys() == set(kind.__struct_fields__) - tables


def test_usual_values_are_those_of_the_policy():
    found = {(key.table, key.name): key.default for key in policy_keys()}
    assert found["", "half_life"] == '"7d"'
    assert found["[sizing]", "grow"] == "false"
    assert found["[tenant.NAME], [default]", "weight"] == "1"
    assert found["[idle]", "after"] == ""
