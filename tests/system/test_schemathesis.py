# SPDX-License-Identifier: Apache-2.0
"""Schemathesis makes requests from the daemon's own OpenAPI document, valid and invalid ones.

No answer is a server error, and each has the status, the headers and the body that the document
gives. GPUSHARE_TEST_SEED repeats a run; GPUSHARE_TEST_EXAMPLES makes it longer.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon

pytestmark = pytest.mark.system
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
TESTS = Path(__file__).parents[1]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ENDLESS = "/v1/events$"  # a stream, which has no end to wait for
EXAMPLES = os.environ.get("GPUSHARE_TEST_EXAMPLES", "5")
SEED = os.environ.get("GPUSHARE_TEST_SEED", "20261130")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.timeout(900)
def test_answers_are_as_the_document_says(unstarted: Daemon) -> None:
    if not SCHEMATHESIS.exists():
        pytest.skip("schemathesis is not installed: make test-system")
    place = f"127.0.0.1:{free_port()}"
    unstarted.start("--listen", place)
    token = unstarted.gpushare("token", "create", "--note", "fuzz").stdout.strip()
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", f"http://{place}/v1/openapi.json", "--no-color"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(CHECKS), "--exclude-path-regex", ENDLESS),
            *("--phases", "coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", SEED),
            *("--continue-on-failure", "--request-timeout", "60"),
        ],
        env={**os.environ, "PYTHONPATH": str(TESTS), "SCHEMATHESIS_HOOKS": "support.fuzzing"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    # The daemon outlives what it was asked, and its log has no traceback.
    assert unstarted.gpushare("ps").returncode == 0
    assert "Traceback" not in unstarted.log.read_text()
