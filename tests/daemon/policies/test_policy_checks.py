# SPDX-License-Identifier: Apache-2.0
"""Whose shares are, which policies can hold, and who sees what of them."""

import pytest
from msgspec.structs import replace

from gpushare.daemon.access.accounts import Account
from gpushare.daemon.policies.policy_checks import check, tenant_of, tenants_of, warnings, without
from gpushare.model.errors import ConflictError, NoSuchTenantError, PolicyError, RoleError
from gpushare.model.gpu import Gpu, Machine
from gpushare.model.ids import GpuId, Tenant
from gpushare.model.policy.tenant import Amount, IdlePolicy, Placement, Policy, TenantSpec
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.units import GIB, Bytes, Percent, Seconds
from gpushare.model.view import CreateRequest
from support.world.session import ME, STRANGER, live

LAB, VISION, SPEECH, ANA = Tenant("lab"), Tenant("vision"), Tenant("speech"), Tenant("ana")
TREE = Policy(
    tenants={
        LAB: TenantSpec(guaranteed=Amount(memory=Bytes(60 * GIB))),
        VISION: TenantSpec(parent=LAB, users=("bo", "ana"), shares=5),
        SPEECH: TenantSpec(parent=LAB, users=("bo",), groups=("audio",)),
        ANA: TenantSpec(weight=3),
    }
)
ONE_GPU = Machine(
    gpus=(Gpu(uuid=GpuId("GPU-0"), index=0, name="World", memory_total=Bytes(80 * GIB)),)
)


@pytest.mark.parametrize(
    ("user", "groups", "wanted", "found"),
    [
        ("bo", (), None, SPEECH),  # the first by name of those that list this user
        ("bo", ("audio",), VISION, VISION),
        ("cy", ("audio", "video"), None, SPEECH),
        ("cy", (), None, Tenant("cy")),  # in no tenant: the user's own name
        ("cy", (), Tenant("cy"), Tenant("cy")),
        ("ana", (), None, ANA),  # a tenant of one's own name is one's own
        ("ana", (), VISION, VISION),
    ],
)
def test_whose_a_share_is(user, groups, wanted, found):
    assert tenant_of(TREE, user, groups, wanted) == found


def test_one_belongs_to_what_lists_one_or_a_group():
    assert tenants_of(TREE, "bo", ("audio",)) == (SPEECH, VISION)
    assert tenants_of(Policy(), "bo", ("audio",)) == ("bo",)


def test_a_tenant_of_others_is_refused_but_to_operators():
    with pytest.raises(RoleError, match="do not belong to tenant vision"):
        tenant_of(TREE, "cy", ("audio",), VISION)
    assert tenant_of(TREE, "cy", (), VISION, operator=True) == VISION


def test_a_user_in_a_tenant_is_not_also_their_own_tenant():
    with pytest.raises(NoSuchTenantError):
        tenant_of(TREE, "bo", (), Tenant("bo"))


@pytest.mark.parametrize("operator", [False, True])
def test_a_tenant_that_is_not_there(operator):
    with pytest.raises(NoSuchTenantError):
        tenant_of(TREE, "cy", (), Tenant("none"), operator=operator)


def test_a_tenant_with_others_below_it_stays():
    with pytest.raises(PolicyError, match="has others below it"):
        without(TREE, LAB)
    with pytest.raises(PolicyError, match="has others below it"):
        without(replace(TREE, default=TenantSpec(parent=ANA)), ANA)
    assert without(TREE, VISION).keys() == {LAB, SPEECH, ANA}


def changed(name: Tenant, **fields) -> Policy:
    return replace(TREE, tenants={**TREE.tenants, name: TenantSpec(**fields)})


@pytest.mark.parametrize(
    ("policy", "said"),  # prose: allow
    [
        (changed(ANA, guaranteed=Amount(memory=Bytes(30 * GIB))), "more is guaranteed"),
        (changed(ANA, guaranteed=Amount(compute=Percent(101))), "more is guaranteed"),
        (changed(VISION, parent=LAB, guaranteed=Amount(compute=Percent(1))), "more is guaranteed"),
        (
            changed(ANA, guaranteed=Amount(memory=Bytes(2)), limit=Amount(memory=Bytes(1))),
            "guaranteed more memory than it may have",
        ),
        (changed(Tenant("default")), "cannot name a tenant 'default'"),
        (changed(Tenant("")), "cannot name a tenant ''"),
        (changed(Tenant("-x")), "cannot name a tenant '-x'"),
        (changed(Tenant("a" * 64)), "cannot name"),
        (replace(TREE, default=TenantSpec(users=("bo",))), "default lists users"),
        (replace(TREE, default=TenantSpec(guaranteed=Amount(memory=Bytes(1)))), "more is guarant"),
        (replace(TREE, period=Seconds(10**12)), "period is longer than ten years"),
        (replace(TREE, idle=IdlePolicy(after=Seconds(10**12))), "idle.after is longer"),
    ],
)
def test_policies_that_cannot_hold(policy, said):
    with pytest.raises(PolicyError, match=said):
        check(policy, Policy(), ONE_GPU)


def test_a_policy_that_can_hold():
    check(TREE, Policy(), ONE_GPU)


def test_a_gpu_that_is_gone_prevents_no_other_change():
    after = replace(TREE, placement=Placement.SPREAD)
    check(after, TREE, Machine())
    with pytest.raises(PolicyError, match="more is guaranteed"):
        check(after, Policy(), Machine())


def test_names_that_the_machine_does_not_know_are_reported():
    odd = changed(ANA, users=("root", "no\0body", "none-such"), groups=("root", "none-such"))

    said = [text for text in warnings(odd, TREE) if text.startswith("tenant ana:")]

    assert [text.rpartition(" ")[2] for text in said] == ["no\0body", "none-such", "none-such"]
    assert not list(warnings(odd, odd))


class Known:
    """The account `cy`, and no other."""

    def by_uid(self, uid: int) -> Account | None:
        groups = frozenset({"audio"})
        return Account(name="cy", uid=uid, gid=uid, groups=groups) if uid == STRANGER.uid else None

    def by_name(self, name: str) -> Account | None:
        raise AssertionError(name)


def governed(daemon):
    daemon.parts.directory = Known()
    return daemon.service.rules


def ask(gib: int = 8, **spec) -> CreateRequest:
    return CreateRequest(spec=ShareSpec(memory=MemoryAsk(limit=Bytes(gib * GIB)), **spec))


def test_putting_the_same_again_is_no_change(world, state):
    async def story(daemon):
        rules = governed(daemon)
        first = await rules.put(TREE, ME)
        again = await rules.put(TREE, ME)
        assert (first.revision, again.revision, again.changes) == (1, 1, ())
        assert [e.type for e in daemon.store.events.since(0)] == ["policy.changed"]

    live(world, state, story)


def test_a_dry_put_says_all_and_changes_nothing(world, state):
    async def story(daemon):
        rules = governed(daemon)
        found = await rules.put(TREE, ME, dry=True)
        assert len(found.changes) == 4
        assert (await rules.policy(ME)).revision == 0
        with pytest.raises(PolicyError):
            await rules.put(replace(TREE, period=Seconds(10**12)), ME, dry=True)

    live(world, state, story)


def test_a_change_made_from_an_older_policy_is_refused(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(TREE, ME, revision=0)
        with pytest.raises(ConflictError, match="has changed meanwhile"):
            await rules.put_tenant(ANA, TenantSpec(), ME, revision=0)
        await rules.put_tenant(ANA, TenantSpec(), ME, revision=1)
        assert daemon.store.policy.current().tenants[ANA] == TenantSpec()

    live(world, state, story)


def test_what_holds_for_users_in_no_tenant_is_changed_as_a_tenant(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put_tenant(Tenant("default"), TenantSpec(shares=2), ME)
        assert daemon.store.policy.current() == Policy(default=TenantSpec(shares=2))

    live(world, state, story)


def test_shares_of_a_tenant_that_goes_keep_its_name(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(TREE, ME)
        share = await daemon.service.create(ask(), STRANGER)
        assert share.tenant == SPEECH
        found = await rules.remove_tenant(SPEECH, ME)
        assert "1 of its shares keep its name" in found.warnings[-1]
        assert (await daemon.show(share.id)).tenant == SPEECH
        quota = (await rules.quotas(ME))[-1]
        assert (quota.tenant, quota.named, quota.shares) == (SPEECH, False, 1)

    live(world, state, story)


def test_quotas_say_what_is_used_borrowed_and_counted(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(TREE, ME)
        await daemon.service.create(ask(50), STRANGER)
        world.clock.pass_by(1)
        await daemon.service.create(ask(20), STRANGER)
        await daemon.service.create(ask(20), STRANGER)  # waits
        await daemon.tick(3600)
        found = {quota.tenant: quota for quota in await rules.quotas(ME)}
        speech, lab = found[SPEECH], found[LAB]
        assert list(found) == [ANA, LAB, SPEECH, VISION]
        assert (lab.used.memory, lab.borrowed.memory) == (70 * GIB, 20 * GIB)
        assert (speech.shares, lab.shares, found[VISION].shares) == (3, 3, 0)
        assert speech.hours == lab.hours == pytest.approx(70 / 80, rel=0.01)
        assert speech.usage == pytest.approx(speech.hours, rel=0.01)
        assert (speech.parent, speech.named) == (LAB, True)

    live(world, state, story)


def test_one_sees_ones_own_tenants_and_those_above(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(TREE, ME)
        await daemon.service.create(ask(), ME)
        assert [quota.tenant for quota in await rules.quotas(STRANGER)] == [LAB, SPEECH]
        assert [one.name for one in await rules.tenants(STRANGER)] == [LAB, SPEECH]
        assert [one.name for one in await rules.tenants(ME)] == [ANA, LAB, SPEECH, VISION]

    live(world, state, story)


def test_a_user_in_no_tenant_sees_their_limits(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(Policy(default=TenantSpec(shares=2)), ME)
        (found,) = await rules.quotas(STRANGER)
        assert (found.tenant, found.named, found.max_shares, found.shares) == ("cy", False, 2, 0)

    live(world, state, story)


def test_every_policy_there_was_is_listed_newest_first(world, state):
    async def story(daemon):
        rules = governed(daemon)
        await rules.put(TREE, ME)
        await rules.remove_tenant(SPEECH, ME)
        assert [one.revision for one in await rules.policies(ME)] == [2, 1]
        assert (await rules.policies(ME))[1].policy == TREE

    live(world, state, story)


def test_a_share_for_a_tenant_of_others_is_not_even_planned(world, state):
    async def story(daemon):
        await governed(daemon).put(TREE, ME)
        with pytest.raises(RoleError):
            await daemon.service.plan(ask(tenant=VISION).spec, STRANGER)
        with pytest.raises(RoleError):
            await daemon.service.create(ask(tenant=VISION), STRANGER)
        assert (await daemon.service.create(ask(tenant=VISION), ME)).tenant == VISION

    live(world, state, story)
