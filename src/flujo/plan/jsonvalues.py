"""Values that are JSON of their own kind: what can be recorded without a declared type.

Only text, whole numbers, finite numbers, true, false, None, lists of these and dicts of these with text keys
come back from JSON as what they were. A tuple would come back as a list, a set not at all.
"""

import json
from collections.abc import Sequence
from math import isfinite
from types import NoneType
from typing import Any, cast

from pydantic_core import to_jsonable_python

MAX_DEPTH = 120
"""How deep lists and dicts may nest: what is read back stands a few levels deeper inside an event."""

SCALARS: frozenset[type] = frozenset({str, int, bool, NoneType})
"""The types whose every value (text with unpaired surrogates apart) survives as JSON."""

STRINGS: frozenset[type] = frozenset({str})


def is_json(value: object, depth: int = 0) -> bool:
    """Tell whether a value, which must not contain itself, is JSON of its own kind through and through."""
    kind = type(value)
    members: Sequence[Any]
    if kind is list:
        members = cast("list[Any]", value)
    elif kind is dict:
        named = cast("dict[Any, Any]", value)
        if not STRINGS.issuperset(map(type, named)):
            return False
        members = list(named.values())
    else:
        return kind in SCALARS or (isinstance(value, float) and kind is float and isfinite(value))
    if SCALARS.issuperset(map(type, members)):
        return depth < MAX_DEPTH
    return depth < MAX_DEPTH and all(
        is_json(member, depth + 1) for member in members if type(member) not in SCALARS
    )


def first_odd(value: object, place: str = "", above: tuple[int, ...] = ()) -> tuple[str, str] | None:
    """Return where a value stops being JSON and why, as in ``("['a'][0]", "is of type 'set'")``."""
    kind = type(value)
    if isinstance(value, float) and kind is float:
        return None if isfinite(value) else (place, "is not a finite number")
    if isinstance(value, str) and kind is str:
        return None if _encodes(value) else (place, "is text with an unpaired surrogate")
    if kind in SCALARS:
        return None
    if kind is not dict and kind is not list:
        return place, f"is of type {kind.__qualname__!r}"
    if id(value) in above:
        return place, "contains itself"
    if len(above) >= MAX_DEPTH:
        return f"{place[:60]}…", f"nests deeper than {MAX_DEPTH} levels"
    members: dict[Any, Any] = (
        cast("dict[Any, Any]", value) if kind is dict else dict(enumerate(cast("list[Any]", value)))
    )
    for key, member in members.items():
        if kind is dict and type(key) is not str:
            return place, f"has a key of type {type(key).__qualname__!r}"
        if kind is dict and not _encodes(key):
            return place, "has a key with an unpaired surrogate"
        odd = first_odd(member, f"{place}[{key!r}]", (*above, id(value)))
        if odd is not None:
            return odd
    return None


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


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
