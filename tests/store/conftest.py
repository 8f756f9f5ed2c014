# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from support.audit import AuditFolder


@pytest.fixture
def audit_folder(tmp_path: Path) -> AuditFolder:
    return AuditFolder(tmp_path)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> AuditFolder:
    found = AuditFolder(tmp_path_factory.mktemp("filled"))
    found.fill(12)
    return found
