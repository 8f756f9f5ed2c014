# SPDX-License-Identifier: Apache-2.0
"""Answers of the API against its own OpenAPI document."""

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from gpushare.api.openapi import document


def check_answer(method: str, target: str, status: int, body: bytes) -> None:
    """Fails where an answer is not what the document says: its status, type or content.

    Paths and methods that the document does not have are refused by the server; their answers
    have the form of every refusal.
    """
    assert status < 500 or _machine_failed(body), (method, target, status, body)
    described = _described(method, target.partition("?")[0])
    answer = described.get(str(status), described["default"])
    content = answer["content"].get("application/json")
    if content is not None and content["schema"] != {"type": "object"}:
        _validator(json.dumps(content["schema"])).validate(json.loads(body))


def _machine_failed(body: bytes) -> bool:
    """Not the request and not the daemon: no daemon, hardware or state file that works."""
    return json.loads(body)["error"]["code"][:4] in {"GS14", "GS15", "GS16"}


def _described(method: str, path: str) -> dict[str, Any]:
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"\\{[a-z]+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method.lower() in operations:
            return operations[method.lower()]["responses"]
    return {"default": document()["paths"]["/v1/metrics"]["get"]["responses"]["default"]}


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": document()["components"]})
