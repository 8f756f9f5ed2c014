# SPDX-License-Identifier: Apache-2.0
import pytest

from support.world.world import make_world


@pytest.fixture
def world(tmp_path):
    found = make_world(tmp_path / "world")
    yield found
    found.close()


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"
