# SPDX-License-Identifier: Apache-2.0
"""Policy files: one document in TOML, YAML or JSON."""

import json
from collections.abc import Mapping
from enum import StrEnum, unique
from pathlib import PurePath
from typing import Any

from gpushare.model.errors import PolicyError
from gpushare.model.policy.form import document
from gpushare.model.policy.form import policy as from_document
from gpushare.model.policy.tenant import Policy


@unique
class Syntax(StrEnum):
    TOML = "toml"
    YAML = "yaml"
    JSON = "json"


_ENDINGS = {".toml": Syntax.TOML, ".yaml": Syntax.YAML, ".yml": Syntax.YAML, ".json": Syntax.JSON}


def syntax_of(path: PurePath) -> Syntax:
    """The syntax by the file's suffix. Raises PolicyError."""
    if path.suffix.lower() not in _ENDINGS:
        raise PolicyError(
            f"unknown syntax of {path}",
            "its suffix is none of " + ", ".join(_ENDINGS),
            "name the syntax: --format toml",
        )
    return _ENDINGS[path.suffix.lower()]


def read(text: str, syntax: Syntax, origin: str) -> Policy:
    """Raises PolicyError, which names `origin` and the key."""
    try:
        return from_document(_parsed(text, syntax))
    except PolicyError as error:
        raise PolicyError(f"{origin}: {error.what}", error.because, error.hint) from error


def written(policy: Policy, syntax: Syntax) -> str:
    """The text of a file; `read` gives the same policy."""
    values = document(policy)
    if syntax is Syntax.JSON:
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    if syntax is Syntax.TOML:
        import tomli_w  # noqa: PLC0415 (start-up time)

        return tomli_w.dumps(values)
    import yaml  # noqa: PLC0415 (start-up time)

    return yaml.safe_dump(
        values, sort_keys=False
    )  # ASCII only: PyYAML misquotes some line separators


def _parsed(text: str, syntax: Syntax) -> Mapping[str, Any]:
    parse = {Syntax.TOML: _parse_toml, Syntax.YAML: _parse_yaml, Syntax.JSON: _parse_json}
    try:
        values = parse[syntax](text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"cannot be read as {syntax}", str(error)) from error
    if not isinstance(values, Mapping):
        raise PolicyError("the file is not a table", "", 'begin it with: apiVersion = "v1"')
    return values


def _parse_toml(text: str) -> Any:
    import tomllib  # noqa: PLC0415 (start-up time)

    return tomllib.loads(text)


def _parse_json(text: str) -> Any:
    # JSON allows duplicate keys; a policy with two limits for a tenant is a mistake.
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _parse_yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415 (start-up time)

    class Strict(yaml.SafeLoader):
        """Refuses duplicate keys, which YAML forbids and the library accepts."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _without_duplicates([(key.value, None) for key, _ in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Strict)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key, value in pairs:
        if str(key) in mapping:
            raise ValueError(f"the key {key!r} occurs twice")
        mapping[str(key)] = value
    return mapping
