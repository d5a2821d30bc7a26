"""Digests of what is asked for: they tell one request from another, without its values."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

from pydantic_core import to_json, to_jsonable_python


def digest(value: Any) -> str:
    """Return what tells settings and tools from others."""
    plain = to_jsonable_python(value, bytes_mode="base64", fallback=lambda one: type(one).__qualname__)
    return sha256(to_json(_sorted(plain))).hexdigest()[:16]


def _sorted(value: Any) -> Any:
    match value:
        case dict():
            members = cast("dict[str, Any]", value)
            return {key: _sorted(members[key]) for key in sorted(members)}
        case list():
            return [_sorted(item) for item in cast("list[Any]", value)]
        case _:
            return value
