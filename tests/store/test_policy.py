# SPDX-License-Identifier: Apache-2.0
"""The rules of a machine outlive its daemon, with everything they ever were."""

from datetime import UTC, datetime

from gpushare.model.ids import Tenant
from gpushare.model.policy.tenant import Amount, Placement, Policy, TenantSpec
from gpushare.model.units import GIB
from gpushare.store import Store

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LAB = Policy(
    tenants={
        Tenant("lab"): TenantSpec(guaranteed=Amount(memory=40 * GIB)),
        Tenant("vision"): TenantSpec(parent=Tenant("lab"), users=("ana",), gpu_hours=12.5),
    }
)


def test_without_a_policy_everything_is_allowed(store):
    assert store.policy.current() == Policy()
    assert (store.policy.newest().revision, store.policy.history()) == (0, [])


def test_a_policy_survives_reopening(tmp_path):
    first = Store(tmp_path)
    kept = first.policy.put(LAB, "root", NOW)
    first.close()

    second = Store(tmp_path)

    assert second.policy.newest() == kept
    assert second.policy.current() == LAB
    second.close()


def test_the_history_says_who_and_when_newest_first(store):
    store.policy.put(LAB, "root", NOW)
    store.policy.put(Policy(placement=Placement.SPREAD), "ana", NOW)

    found = [(one.revision, one.by, one.at, one.policy) for one in store.policy.history()]

    assert found == [(2, "ana", NOW, store.policy.current()), (1, "root", NOW, LAB)]


def test_old_policies_are_forgotten(store, monkeypatch):
    monkeypatch.setattr("gpushare.store.policy._KEPT", 3)
    for _ in range(5):
        store.policy.put(LAB, "root", NOW)

    assert [one.revision for one in store.policy.history(10)] == [5, 4, 3]
