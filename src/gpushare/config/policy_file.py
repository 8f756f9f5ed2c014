# SPDX-License-Identifier: Apache-2.0
"""Policy files: one document in TOML, YAML or JSON."""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum, unique
from pathlib import PurePath
from typing import Any

from gpushare.model.errors import PolicyError
from gpushare.model.policy.form import document
from gpushare.model.policy.form import policy as from_document
from gpushare.model.policy.tenant import Policy

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@unique
class Syntax(StrEnum):
    TOML = "toml"
    YAML = "yaml"
    JSON = "json"


_ENDINGS = {".toml": Syntax.TOML, ".yaml": Syntax.YAML, ".yml": Syntax.YAML, ".json": Syntax.JSON}


def syntax_of(path: PurePath) -> Syntax:
    """By the file's ending; raises PolicyError."""
    if path.suffix.lower() not in _ENDINGS:
        raise PolicyError(
            f"cannot tell how {path} is written",
            "its name ends in none of " + ", ".join(_ENDINGS),
            "say it: --format toml",
        )
    return _ENDINGS[path.suffix.lower()]


def read(text: str, syntax: Syntax, origin: str) -> Policy:
    """Raises PolicyError, which names `origin` and the place in it."""
    try:
        return from_document(_parsed(text, syntax))
    except PolicyError as error:
        raise PolicyError(f"{origin}: {error.what}", error.because, error.hint) from error


def written(policy: Policy, syntax: Syntax) -> str:
    """What `read` reads back to the same policy."""
    found = document(policy)
    if syntax is Syntax.JSON:
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if syntax is Syntax.TOML:
        return "\n".join(_toml(found)) + "\n"
    import yaml  # noqa: PLC0415 (start-up time)

    return yaml.safe_dump(found, sort_keys=False)  # ASCII: it misquotes some line ends


def _parsed(text: str, syntax: Syntax) -> Mapping[str, Any]:
    parse = {Syntax.TOML: _parse_toml, Syntax.YAML: _parse_yaml, Syntax.JSON: _parse_json}
    try:
        found = parse[syntax](text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"cannot be read as {syntax}", str(error)) from error
    if not isinstance(found, Mapping):
        raise PolicyError("it is no table of rules", "", 'begin it with: apiVersion = "v1"')
    return found


def _parse_toml(text: str) -> Any:
    import tomllib  # noqa: PLC0415 (start-up time)

    return tomllib.loads(text)


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _parse_yaml(text: str) -> Any:
    import yaml  # noqa: PLC0415 (start-up time)

    class Strict(yaml.SafeLoader):
        """YAML forbids a key twice; the library takes the last one."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            _once([(key.value, None) for key, _ in node.value])
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Strict)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    seen: dict[Any, Any] = {}
    for key, value in pairs:
        if str(key) in seen:
            raise ValueError(f"the key {key!r} is there twice")
        seen[str(key)] = value
    return seen


def _toml(found: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Plain values first, for what stands below a table's head belongs to it."""
    tables = {k: v for k, v in found.items() if isinstance(v, Mapping) and not _inline(k, at)}
    for key, value in found.items():
        if key not in tables:
            yield f"{_key(key)} = {_literal(value)}"
    for key, table in tables.items():
        path = f"{at}.{_key(key)}" if at else _key(key)
        if path != "tenant":
            yield from ("", f"[{path}]")
        yield from _toml(table, path)


def _inline(key: str, at: str) -> bool:
    """Amounts stand in one line; a tenant may be called as they are."""
    return key in {"guaranteed", "limit"} and at not in {"", "tenant"}


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_literal(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return _string(value) if isinstance(value, str) else repr(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """As in JSON, but that TOML also wants DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
