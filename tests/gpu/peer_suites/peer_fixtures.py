# SPDX-License-Identifier: Apache-2.0
"""The fixture that numba-cuda's tests expect of the conftest.py of its repository."""

import pytest


@pytest.fixture(scope="class")
def initialize_from_pytest_config(request: pytest.FixtureRequest) -> None:
    setattr(request.cls, "_dump_failed_filechecks", False)  # noqa: B010 (a private name of theirs)
