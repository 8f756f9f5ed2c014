# SPDX-License-Identifier: Apache-2.0
"""OpenAPI 3.1 of `/v1`, made from the route table."""

from functools import cache
from typing import Any

import msgspec

from gpushare.model.errors import ErrorBody
from gpushare.model.event import Event
from gpushare.model.value import Value
from gpushare.model.version import __version__

from .responses import API_VERSION
from .route import Route
from .routes import ROUTES

_TOKEN = {"type": "http", "scheme": "bearer", "description": "Not needed on the unix socket"}
_VERSION = {"const": API_VERSION}
_REF = "#/components/schemas/{name}"


@cache
def document() -> dict[str, Any]:
    """The document as plain values. It is made once, because the routes do not change."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths |= _special()
    _, schemas = msgspec.json.schema_components(_types(), ref_template=_REF)
    schemas |= {_answer_name(route.gives): _answer(schemas, route.gives) for route in ROUTES}
    return {
        "openapi": "3.1.0",
        "info": {"title": "gpushare", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": _TOKEN}},
        "security": [{"token": []}],
    }


def _types() -> list[type]:
    # These occur in no route: errors are possible everywhere, events are a stream.
    types: list[type] = [ErrorBody, Event]
    for route in ROUTES:
        types += [kind for kind in (route.gives, route.takes) if kind]
    return list(dict.fromkeys(types))


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.doc,
        "parameters": [*_path_parameters(route), *_query_parameters(route.query)],
        "responses": {
            str(route.status): {
                "description": "Done",
                "content": _json({"$ref": _REF.format(name=_answer_name(route.gives))}),
            },
            "default": _REFUSED,
        },
    }
    if route.method == "GET":
        operation["responses"]["304"] = _UNCHANGED
    if route.takes:
        operation["requestBody"] = {"required": True, "content": _json(_named(route.takes))}
    return operation


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    if "{ref}" not in route.path:
        return []
    return [{"name": "ref", "in": "path", "required": True, "schema": {"type": "string"}}]


def _query_parameters(query: type[Value] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = msgspec.json.schema_components([query], ref_template=_REF)[1][query.__name__]
    return [
        {"name": name, "in": "query", "required": False, "schema": kind}
        for name, kind in schema["properties"].items()
    ]


def _answer_name(kind: type[Value]) -> str:
    return f"{kind.__name__}Answer"


def _answer(schemas: dict[str, Any], kind: type[Value]) -> dict[str, Any]:
    """Every answer has apiVersion in addition to the fields of its type, which allows no other."""
    fields = schemas[kind.__name__]
    return {
        **fields,
        "title": _answer_name(kind),
        "properties": {"apiVersion": _VERSION, **fields["properties"]},
        "required": ["apiVersion", *fields["required"]],
    }


def _named(kind: type) -> dict[str, Any]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_UNCHANGED: dict[str, Any] = {"description": "The caller has it (If-None-Match)", "content": {}}
_REFUSED = {
    "description": "Refused",
    "content": _json(
        {
            "type": "object",
            "properties": {"apiVersion": _VERSION, "error": _named(ErrorBody)},
            "required": ["apiVersion", "error"],
            "additionalProperties": False,
        }
    ),
}


def _special() -> dict[str, Any]:
    def text(summary: str, media: str, schema: dict[str, Any]) -> dict[str, Any]:
        content = {media: {"schema": schema}}
        return {
            "get": {
                "summary": summary,
                "responses": {
                    "200": {"description": "Done", "content": content},
                    "default": _REFUSED,
                },
            }
        }

    return {
        "/v1/events": text("Events, server-sent", "text/event-stream", _named(Event)),
        "/v1/metrics": text("Prometheus metrics", "text/plain", {"type": "string"}),
        "/v1/openapi.json": text("This document", "application/json", {"type": "object"}),
    }
