"""Values as JSON that is the same on every run, to be compared by a digest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from pydantic_core import to_jsonable_python


def canonical(value: Any) -> Any:
    """Return a value as JSON that does not depend on the order of sets and keys."""
    match value:
        case dict():
            members = cast("dict[Any, Any]", value)
            return {str(key): canonical(member) for key, member in members.items()}
        case list() | tuple():
            return [canonical(item) for item in cast("Sequence[Any]", value)]
        case set() | frozenset():
            items = [canonical(item) for item in cast("set[Any]", value)]
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        case _:
            return to_jsonable_python(
                value, bytes_mode="base64", fallback=lambda unknown: type(unknown).__qualname__
            )
