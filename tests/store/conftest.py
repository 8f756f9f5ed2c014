# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from support.audit import Keeper


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Keeper:
    found = Keeper(tmp_path_factory.mktemp("filled"))
    found.fill(12)
    return found
