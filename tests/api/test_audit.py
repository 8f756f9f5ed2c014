# SPDX-License-Identifier: Apache-2.0
"""The calls about the audit log, where none is kept and with parameters that make no sense."""

import pytest


@pytest.mark.parametrize(
    "query",
    [
        "since=2026-01-01T00:00:00",
        "last=-1",
        "last=10001",
        "after=x",
        "since=x",
        "upto=-1",
        "what=1",
    ],
)
def test_parameters_that_make_no_sense_are_refused(api, query):
    answer = api.call("GET", f"/v1/audit?{query}")

    assert answer.status == 400
    assert answer.code == "GS1102"


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/audit/verify", "/v1/audit/heads"])
def test_where_no_log_is_kept_none_is_found(api, path):
    assert api.call("GET", path).status == 404
