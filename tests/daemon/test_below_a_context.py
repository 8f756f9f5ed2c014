# SPDX-License-Identifier: Apache-2.0
"""No share, and no change of one, has a limit in which no program could start."""

import pytest
from msgspec.structs import replace

from gpushare.model.errors import BadSpecError, NeverFitsError
from gpushare.model.ids import GpuId
from gpushare.model.spec import ComputeAsk, Gang, MechanismName, MemoryAsk, ShareSpec
from gpushare.model.units import GIB, MIB, Bytes
from gpushare.model.view import CreateRequest, UpdateRequest
from support.world.session import ME, live
from support.world.world import make_world

COST = GIB // 2  # what the world's probe measures
NUMBER = "a CUDA context costs 512 MiB on GPU"


def spec(size=MIB, **changes) -> ShareSpec:
    return ShareSpec(memory=MemoryAsk(limit=Bytes(size)), **changes)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"compute": ComputeAsk(limit=30)},
        {"mechanism": MechanismName.MPS},
        {"turns": True},
        {"gpus": 2},
        {"gpu": ("1",)},
        {"gang": Gang("pair", 2)},
    ],
)
@pytest.mark.parametrize("size", [MIB, COST - 1])
def test_a_new_share_is_refused_with_the_number(tmp_path, wish, size):
    world = make_world(tmp_path / "world", gpus=2)

    async def story(daemon):
        request = CreateRequest(spec=spec(size, **wish))
        for call in (daemon.service.create(request, ME), daemon.service.plan(request.spec, ME)):
            with pytest.raises(BadSpecError) as caught:
                await call
            assert NUMBER in caught.value.because
            assert "-m 1GiB" in caught.value.hint
        assert not daemon.store.shares.living()

    try:
        live(world, tmp_path / "state", story)
    finally:
        world.close()


def test_a_percentage_that_comes_to_less_is_refused(world, state):
    async def story(daemon):
        small = ShareSpec(memory=MemoryAsk(share=1))
        assert (await daemon.service.plan(small, ME)).decision, "1 % of 80 GiB is enough"
        world.gpus = (replace(world.gpus[0], memory_total=Bytes(24 * GIB)),)
        with pytest.raises(BadSpecError, match="memory limit"):
            await daemon.service.plan(small, ME)

    live(world, state, story)


def test_a_change_is_refused_with_the_number_and_changes_nothing(world, state):
    async def story(daemon):
        share = await daemon.create(8)
        for memory in (MemoryAsk(limit=Bytes(MIB)), MemoryAsk(limit=Bytes(COST - 1))):
            with pytest.raises(BadSpecError) as caught:
                await daemon.service.update(share.id, UpdateRequest(memory=memory), ME)
            assert NUMBER in caught.value.because
        assert (await daemon.show(share.id)).memory.limit == 8 * GIB

    live(world, state, story)


def test_where_it_could_not_be_measured_the_cost_on_the_same_model_counts(tmp_path):
    world = make_world(tmp_path / "world", gpus=2)
    ports = world.ports()

    class Once:
        def contexts(self):
            return {GpuId("GPU-0"): ("580.1", Bytes(COST))}

        def __call__(self, *arguments, **options):
            return ports.probe(*arguments, **options)

    world.prober = Once()

    async def story(daemon):
        with pytest.raises((BadSpecError, NeverFitsError)) as caught:
            await daemon.service.plan(spec(gpu=("1",)), ME)
        assert f"{NUMBER} 1" in caught.value.because

    try:
        live(world, tmp_path / "state", story)
    finally:
        world.close()
