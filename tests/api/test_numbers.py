# SPDX-License-Identifier: Apache-2.0
"""Numbers that no machine has: every call answers with an error of the request."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from gpushare.api.openapi import document
from gpushare.api.routes import ROUTES

HUGE = 10**400
BODIES = [route for route in ROUTES if route.takes is not None]


def numbers(schema: dict[str, Any], value: Any) -> Iterator[Any]:
    """Values for the schema in which one number, at each place there is one, is `value`."""
    if reference := schema.get("$ref"):
        yield from numbers(document()["components"]["schemas"][reference.split("/")[-1]], value)
    for kind in schema.get("anyOf", []):
        yield from numbers(kind, value)
    if schema.get("type") in {"integer", "number"}:
        yield value
    for name, field in schema.get("properties", {}).items():
        for inner in numbers(field, value):
            yield {name: inner}
    if isinstance(other := schema.get("additionalProperties"), dict):
        for inner in numbers(other, value):
            yield {"lab": inner}


@pytest.mark.parametrize("value", [HUGE, -HUGE, 2**63, -1, 1e300, 2**62])
def test_no_number_breaks_a_call(api, value):
    for route in BODIES:
        path = route.path.replace("{ref}", "nothing")
        schema = msgspec.json.schema(route.takes)
        reference = {"$ref": schema["$ref"].replace("$defs", "components/schemas")}
        for body in numbers(reference, value):
            answer = api.call(route.method, path, {**needed(route.path), **body})
            # Places where such a number is a number: a uid, a weight, a limit.
            assert answer.status < 500, (route.path, body, answer.body)


def needed(path: str) -> dict[str, Any]:
    return {"spec": {}} if path == "/v1/shares" else {}


@pytest.mark.parametrize("body", [b"[" * 30_000, b"1" * 60_000, b'{"spec": 1e400}', b"\xff", b""])
def test_what_is_no_request_is_refused(api, body):
    answer = api.call("POST", "/v1/shares", body)
    assert (answer.status, answer.code) == (400, "GS1102")


@pytest.mark.parametrize(
    ("spec", "because"),
    [
        ({"memory": {"limit": "8Gi"}}, "of bytes: write 8589934592 for '8Gi'"),
        ({"memory": {"limit": "8GB"}}, "of bytes: write 8000000000 for '8GB'"),
        ({"memory": {"request": "512MiB"}}, "of bytes: write 536870912 for '512MiB'"),
        ({"memory": {"limit": "much"}}, "of bytes, not 'much'"),
        ({"compute": {"limit": "50%"}}, "of percent: write 50 for '50%'"),
        ({"ttl": "30m"}, "of seconds: write 1800 for '30m'"),
    ],
)
def test_a_quantity_written_as_text_is_refused_with_the_number(api, spec, because):
    answer = api.call("POST", "/v1/shares", {"spec": spec})
    assert (answer.status, answer.code) == (400, "GS1102")
    assert because in answer.body.decode()


def test_a_time_to_wait_is_refused_with_the_number_too(api):
    answer = api.call("GET", "/v1/shares/nothing/wait?timeout=30m")
    assert (answer.status, answer.code) == (400, "GS1102")
    assert "timeout is a whole number of seconds: write 1800 for '30m'" in answer.body.decode()


def test_text_in_the_place_of_another_number_is_refused(api):
    answer = api.call("POST", "/v1/shares", {"spec": {"gpus": "two"}})
    assert (answer.status, answer.code) == (400, "GS1102")
    assert b"spec.gpus" in answer.body
