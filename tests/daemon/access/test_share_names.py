# SPDX-License-Identifier: Apache-2.0
"""Which share a reference means: names belong to users, ids to the machine."""

import msgspec
import pytest
from msgspec.structs import replace

from gpushare.daemon.present.views import user_name
from gpushare.model.errors import BadSpecError, ConflictError, GpushareError, NoSuchShareError
from gpushare.model.policy.tenant import Policy, Visibility
from gpushare.model.spec import MemoryAsk, ShareSpec
from gpushare.model.view import CreateRequest, EnterRequest
from support.world.session import ME, STRANGER, live

THEM = user_name(STRANGER.uid)


async def theirs(daemon, name=None, **spec):
    """A share of the stranger."""
    spec = ShareSpec(memory=MemoryAsk(limit=1 << 30), name=name, **spec)
    return await daemon.service.create(CreateRequest(spec=spec, program="train.py"), STRANGER)


@pytest.mark.parametrize("length", [2, 6, 11, 12])
@pytest.mark.parametrize("change", [str, str.upper])
def test_no_name_reads_as_an_id_or_its_beginning(world, state, length, change):
    async def story(daemon):
        mine = await daemon.create(8)
        with pytest.raises(BadSpecError, match="cannot name a share") as refused:
            await theirs(daemon, change(mine.id[:length]))
        assert f"{change(mine.id[:length])}-x" in refused.value.hint

    live(world, state, story)


@pytest.mark.parametrize("name", ["a", "train", "abcdefg", "0123456789abc", "ab-1", "v1.2"])
def test_names_that_read_as_no_id_are_allowed(world, state, name):
    async def story(daemon):
        assert (await daemon.create(8, name=name)).name == name

    live(world, state, story)


def test_an_automatic_name_reads_as_no_id(world, state):
    async def story(daemon):
        spec = ShareSpec(memory=MemoryAsk(limit=1 << 30))
        created = await daemon.service.create(CreateRequest(spec=spec, program="./face.sh"), ME)
        assert created.name == "program-face"

    live(world, state, story)


def test_an_id_means_its_share_although_another_has_it_as_a_name(world, state):
    """State files of earlier releases may contain such a name."""

    async def story(daemon):
        mine = await daemon.create(8)
        fake = await theirs(daemon)
        daemon.store.shares.update(fake.id, name=str(mine.id))
        for caller in (ME, STRANGER):
            assert (await daemon.service.show(mine.id, caller)).id == mine.id
        process = daemon.world.spawn()
        entry = await daemon.service.enter(mine.id, EnterRequest(pid=process.pid), ME)
        assert entry.share == mine.id
        [shown] = [s for s in await daemon.service.shares(STRANGER) if s.id == fake.id]
        assert shown.ref == fake.id
        assert (await daemon.service.remove(shown.ref, STRANGER)).id == fake.id

    live(world, state, story)


def test_a_name_of_ones_own_beats_the_beginning_of_an_id(world, state):
    """State files of earlier releases may contain such a name."""

    async def story(daemon):
        other, mine = await theirs(daemon), await daemon.create(8)
        daemon.store.shares.update(mine.id, name=str(other.id[:6]))
        assert (await daemon.service.show(other.id[:6], ME)).id == mine.id

    live(world, state, story)


def test_the_beginning_of_an_id_means_ones_own_share_first(world, state, monkeypatch):
    ids = iter(["ab1111111111", "ab2222222222", "ab3333333333"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))

    async def story(daemon):
        await theirs(daemon)
        mine = await daemon.create(8)
        assert (await daemon.service.show("ab", ME)).id == mine.id
        await daemon.create(8)
        with pytest.raises(ConflictError, match="fits several shares"):
            await daemon.service.show("ab", ME)

    live(world, state, story)


def test_two_users_have_shares_of_the_same_name(world, state):
    async def story(daemon):
        mine, other = await daemon.create(8, name="train"), await theirs(daemon, "train")
        assert (await daemon.service.show("train", ME)).id == mine.id
        assert (await daemon.service.show("train", STRANGER)).id == other.id
        with pytest.raises(ConflictError, match="you have a share named"):
            await theirs(daemon, "train")

    live(world, state, story)


def test_nothing_shows_that_a_hidden_name_is_taken(world, state):
    """Not by asking for it, and neither by an automatic name."""

    async def story(daemon):
        await daemon.create(8, name="secret")
        await daemon.create(8)
        assert (await theirs(daemon, "secret")).name == "secret"
        assert (await theirs(daemon)).name == "train"
        answers = [await refused(daemon, ref) for ref in ("secret-x", f"{ME.uid}/secret")]
        await daemon.service.remove("secret", ME)
        assert answers == [await refused(daemon, ref) for ref in ("secret-x", f"{ME.uid}/secret")]

    async def refused(daemon, ref):
        with pytest.raises(NoSuchShareError) as error:
            await daemon.service.show(ref, STRANGER)
        return error.value.body()

    live(world, state, story)


def test_a_plain_name_never_means_the_share_of_another(world, state):
    """Not for an operator either: root's program must not enter a share that a user named so."""

    async def story(daemon):
        other = await theirs(daemon, "backup")
        with pytest.raises(NoSuchShareError) as refused:
            await daemon.service.remove("backup", ME)
        assert refused.value.hint == f"theirs: {THEM}/backup"
        for ref in (f"{THEM}/backup", f"{THEM}:backup", other.id):
            assert (await daemon.service.show(ref, ME)).id == other.id
        [shown] = await daemon.service.shares(ME)
        assert (shown.name, shown.ref) == ("backup", f"{THEM}/backup")

    live(world, state, story)


def test_others_are_addressed_by_user_and_name_where_the_policy_shows_names(world, state):
    async def story(daemon):
        mine = await daemon.create(8, name="train")
        with pytest.raises(NoSuchShareError):
            await daemon.service.show(f"{mine.user}/train", STRANGER)
        [hidden] = await daemon.service.shares(STRANGER)
        assert (hidden.name, hidden.ref) == ("", mine.id)
        policy = Policy(visibility=Visibility.SHARES)
        daemon.store.policy.put(policy, "root", world.clock.now())
        assert (await daemon.service.show(f"{mine.user}/train", STRANGER)).id == mine.id

    live(world, state, story)


@pytest.mark.parametrize("ref", ["", "/", ":", "a/b/c", "x/", "/x", "%", "_", "' OR 1=1 --", "é"])
def test_what_means_no_share_is_not_found(world, state, ref):
    async def story(daemon):
        await daemon.create(8)
        with pytest.raises(GpushareError) as refused:
            await daemon.service.show(ref, replace(ME))
        assert msgspec.json.encode(refused.value.body())
        assert refused.value.code == "GS1201"

    live(world, state, story)
